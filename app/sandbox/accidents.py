"""Accidents on demand: what happens to a machine without anybody having asked its cloud."""

from __future__ import annotations

from app.sandbox.machines import Machine, Stage
from app.sandbox.vast.cloud import VastCloud
from app.sandbox.vast.contracts import Contract
from app.sandbox.world import World


class Accidents:
    """Each takes a machine's id and raises ``LookupError`` when no such machine lives."""

    def __init__(self, world: World, vast: VastCloud) -> None:
        self._world = world
        self._vast = vast

    def vanish(self, machine_id: str) -> None:
        """End the machine without a word; it is billed no further."""
        self._world.fleet.terminate(self._living(machine_id), at=self._world.clock.now())

    def outbid(self, machine_id: str) -> None:
        """Outbid a spot machine: it stops, its disk stays and costs."""
        machine = self._living(machine_id)
        if not isinstance(machine, Contract) or not machine.spot or machine.stage is Stage.STOPPED:
            raise LookupError(f"machine {machine_id} is no running spot machine")
        self._vast.instances.outbid(machine)

    def preempt(self, machine_id: str, *, notice_seconds: float) -> None:
        """Let the cloud say that it takes the machine back in so many seconds; it works until then, and is gone after."""
        self._world.fleet.preempt(self._living(machine_id), at=self._world.clock.now(), seconds=notice_seconds)

    def kill_gpu(self, machine_id: str) -> None:
        """Let the GPU fall off the bus: SSH works on, ``nvidia-smi`` fails."""
        self._world.fleet.kill_gpu(self._living(machine_id))

    def silence(self, machine_id: str) -> None:
        """Let the host die unnoticed: nothing answers, yet its cloud calls it running and bills it."""
        self._world.fleet.silence(self._living(machine_id))

    def fail(self, machine_id: str) -> None:
        """Break the host: ``offline`` or ``unhealthy``, unreachable, and billed on."""
        self._world.fleet.fail(self._living(machine_id))

    def _living(self, machine_id: str) -> Machine:
        machine = self._world.fleet.find(machine_id)
        if machine is None or not machine.alive:
            raise LookupError(f"no machine {machine_id} lives")
        return machine
