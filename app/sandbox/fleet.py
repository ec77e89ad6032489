"""All machines of a sandbox and what happens to them: boot, stop, end, and the accidents."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from app.kit.clock import Clock
from app.sandbox.faults import MACHINES, Fault, Faults
from app.sandbox.gpus import wrong_gpu_facts
from app.sandbox.hosts import Host, HostBehaviour, start_host
from app.sandbox.machines import Machine, Stage, Truth, truth_of

_FAULTS_AT_CREATE = MACHINES - {"leaves_contract"}
_Deed = Callable[[Machine], Coroutine[Any, Any, None]]
StartHost = Callable[..., Coroutine[Any, Any, Host]]
"""``hosts.start_host``, or what stands in for it."""


class Fleet:
    """Owns every machine, its SSH server and the tasks that move it along."""

    def __init__(self, clock: Clock, faults: Faults, *, home: Path, start: StartHost = start_host) -> None:
        self._clock = clock
        self._faults = faults
        self._home = home
        self._start = start
        self._machines: dict[str, Machine] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closings: dict[str, asyncio.Task[None]] = {}

    def launch(self, machine: Machine, *, at: datetime) -> None:
        """Take a new machine in, with the faults that strike it, and boot it unless it begins stopped."""
        self._spoil(machine, at)
        self._machines[machine.id] = machine
        machine.charge("disk", machine.disk_micros_per_hour, at=at)
        if machine.stage is Stage.BOOTING:
            self.boot(machine, at=at)

    def machines(self, provider: str) -> list[Machine]:
        """Return a cloud's machines, the gone ones too, oldest first."""
        return [machine for machine in self._machines.values() if machine.provider == provider]

    def find(self, machine_id: str) -> Machine | None:
        """Return a machine, gone or not."""
        return self._machines.get(machine_id)

    def truth(self) -> list[Truth]:
        """Return the ledger: a row for every machine there ever was."""
        at = self._clock.now()
        return [truth_of(machine, at=at) for machine in self._machines.values()]

    def boot(self, machine: Machine, *, at: datetime) -> None:
        """Start a machine, or start it again."""
        machine.stage, machine.booting_since, machine.endpoint = Stage.BOOTING, at, None
        self._move(machine, self._boot)

    def stop(self, machine: Machine, *, at: datetime) -> None:
        """Stop a machine; the disk stays and costs."""
        machine.stage = Stage.STOPPING
        machine.discharge("gpu", at=at)
        self._move(machine, self._stop)

    def hibernate(self, machine: Machine, *, seconds: float, disk_micros_per_hour: int, at: datetime) -> None:
        """Save a machine and free its GPU; nothing costs while it is being saved, then the saved disk does."""
        machine.stage = Stage.HIBERNATING
        machine.discharge("gpu", at=at)

        async def save(machine: Machine) -> None:
            """Save it for as long as that takes, then let go of its GPU."""
            await self._close_host(machine)
            await self._clock.sleep(seconds)
            machine.stage, machine.endpoint = Stage.HIBERNATED, None
            machine.charge("disk", disk_micros_per_hour, at=self._clock.now())
            release, machine.release = machine.release, lambda: None
            release()

        self._move(machine, save)

    def reboot(self, machine: Machine, *, at: datetime) -> None:
        """Restart a machine; it costs throughout."""
        self.boot(machine, at=at)

    def silence(self, machine: Machine) -> None:
        """Kill what runs on the machine, SSH too, while its cloud goes on to call it running and to bill it."""
        self._move(machine, self._close_host)

    def fail(self, machine: Machine) -> None:
        """Break the whole machine: it costs on, but nothing answers."""
        machine.stage = Stage.FAILED
        self._move(machine, self._close_host)

    def terminate(self, machine: Machine, *, at: datetime) -> None:
        """End a machine at once."""
        self._end(machine, Stage.GONE, at)
        self._move(machine, self._clear)

    def terminate_slowly(self, machine: Machine, *, seconds: float, listed_seconds: float) -> None:
        """End a machine that is billed while it terminates and is listed for a while after."""
        machine.stage = Stage.TERMINATING

        async def end(machine: Machine) -> None:
            """End it for as long as that takes, then list it for a while."""
            await self._close_host(machine)
            await self._clock.sleep(seconds)
            self._end(machine, Stage.TERMINATED, self._clock.now())
            await self._clear(machine)
            await self._clock.sleep(listed_seconds)
            machine.stage = Stage.GONE

        self._move(machine, end)

    def preempt(self, machine: Machine, *, at: datetime, seconds: float) -> None:
        """End a machine after a notice that its cloud shows at once."""
        machine.preempts_at = at + timedelta(seconds=seconds)

        async def end(machine: Machine) -> None:
            """End it once the notice is over."""
            await self._clock.sleep(seconds)
            self._end(machine, Stage.GONE, self._clock.now())
            await self._clear(machine)

        self._move(machine, end)

    def authorize(self, machine: Machine, public_key: str) -> None:
        """Let one more key into a machine, at once if it runs."""
        machine.keys.append(public_key)
        if machine.host is not None:
            machine.host.authorize(public_key)

    def kill_gpu(self, machine: Machine) -> None:
        """Let the GPU fall off the bus: the machine runs on, ``nvidia-smi`` does not."""
        machine.behaviour = HostBehaviour(runs_nvidia_smi=False, xid_errors=True)
        machine.is_as_sold = False
        machine.unusable_from(self._clock.now())
        if machine.host is not None:
            machine.host.lose_gpu()

    async def aclose(self) -> None:
        """Stop all that moves and close every host."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._close_host(machine) for machine in self._machines.values()))
        await asyncio.gather(*self._closings.values())

    def _spoil(self, machine: Machine, at: datetime) -> None:
        for kind in sorted(_FAULTS_AT_CREATE):
            subjects = {machine.marker or ""}
            fault = self._faults.draw({kind}, provider=machine.provider, operation="create", subjects=subjects)
            if fault is not None:
                _apply(fault, machine, at)

    async def _boot(self, machine: Machine) -> None:
        await self._close_host(machine)
        await self._clock.sleep(machine.boot_seconds)
        if machine.boot_mode:
            machine.stage = Stage.FAILED if machine.boot_mode == "failed" else Stage.BOOTING
            return
        try:
            machine.host = host = await self._start_host(machine)
        except OSError:
            machine.stage = Stage.FAILED
            return
        at = self._clock.now()
        machine.endpoint = (host.address, host.port)
        machine.stage, machine.started_at = Stage.RUNNING, machine.started_at or at
        if not any(span.kind == "gpu" and span.end is None for span in machine.spans):
            machine.charge("gpu", machine.price_micros_per_hour, at=at)
        if machine.is_as_sold:
            machine.usable_from(at)
        if machine.vanishes_after_seconds is not None:
            await self._clock.sleep(machine.vanishes_after_seconds)
            self._end(machine, Stage.GONE, self._clock.now())
            await self._clear(machine)

    async def _start_host(self, machine: Machine) -> Host:
        starting = asyncio.create_task(
            self._start(
                address=machine.address,
                port=machine.port,
                home=self._home / f"{machine.provider}-{machine.id}",
                gpu=machine.gpu,
                authorized_keys=machine.keys,
                behaviour=machine.behaviour,
                username=machine.username,
            )
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await (await starting).close()
            raise

    async def _stop(self, machine: Machine) -> None:
        await self._close_host(machine)
        machine.stage, machine.endpoint = Stage.STOPPED, None

    async def _clear(self, machine: Machine) -> None:
        await self._close_host(machine)
        home = self._home / f"{machine.provider}-{machine.id}"
        if home.exists():
            await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)

    async def _close_host(self, machine: Machine) -> None:
        """Close the SSH server, to the end even if whoever asked is broken off."""
        host, machine.host = machine.host, None
        machine.unusable_from(self._clock.now())
        if host is not None:
            self._closings[machine.id] = asyncio.create_task(host.close())
        if closing := self._closings.get(machine.id):
            await asyncio.shield(closing)
            self._closings.pop(machine.id, None)

    def _end(self, machine: Machine, stage: Stage, at: datetime) -> None:
        machine.stage, machine.ended_at = stage, at
        machine.unusable_from(at)
        machine.discharge("gpu", "disk", at=at)
        machine.release()

    def _move(self, machine: Machine, deed: _Deed) -> None:
        """Let a machine do one thing in the background, after what it was doing has been broken off."""
        before = machine.task
        if before is not None:
            before.cancel()

        async def run() -> None:
            """Do the thing once the one before has ended."""
            if before is not None:
                await asyncio.wait([before])
            await deed(machine)

        machine.task = task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _apply(fault: Fault, machine: Machine, at: datetime) -> None:
    """Make one machine suffer one fault."""
    match fault.kind:
        case "never_boots":
            machine.boot_mode = fault.mode or "never"
        case "wrong_gpu":
            machine.gpu, machine.is_as_sold = wrong_gpu_facts(machine.gpu, fault.mode), False
        case "slow_gpu":
            slow = replace(machine.behaviour.cuda, slow=fault.mode or "both")
            machine.behaviour, machine.is_as_sold = replace(machine.behaviour, cuda=slow), False
        case "wrong_sums":
            machine.behaviour = replace(machine.behaviour, cuda=replace(machine.behaviour.cuda, wrong_sums=True))
            machine.is_as_sold = False
        case "no_ssh":
            hangs = fault.mode == "hang"
            machine.behaviour = HostBehaviour(accepts_ssh=hangs, hangs=hangs)
            machine.is_as_sold = False
        case "vanishes":
            machine.vanishes_after_seconds = fault.wait(1.0)
        case "marker_lost":
            machine.marker = (machine.marker or "")[:16] if fault.mode == "cut" else None
        case _:
            machine.hidden_until = at + timedelta(seconds=fault.wait(5.0))
            machine.hidden_from_get = fault.mode == "everywhere"
