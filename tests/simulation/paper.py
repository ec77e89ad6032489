"""Machines on paper: hosts that answer as the sandbox's do, without a socket, a process or a file."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from app.machines import AuthRefused, HostKeyChanged, Shell, TimedOut, Unreachable
from app.machines.shell import Answer
from app.providers import Connection
from app.sandbox.hosts import HostBehaviour
from app.sandbox.nvidia_smi import GpuFacts

Pause = Callable[[float], Awaitable[None]]

_LOG = b"ready\n"
_FIRST_PORT = 40_000
_PORTS = 400
"""So few that a machine may get the port of one that is gone."""


@dataclass
class Disk:
    """What a machine finds again when it starts anew: its host key and its files, for each home one."""

    fingerprint: str
    files: dict[str, bytes] = field(default_factory=dict)


class PaperHost:
    """One machine that is up."""

    def __init__(self, street: Street, *, address: str, port: int, disk: Disk, told: dict[str, Any]) -> None:
        self.address, self.port, self._street = address, port, street
        self.fingerprint, self.files = disk.fingerprint, disk.files
        self.gpu: GpuFacts = told["gpu"]
        self.behaviour: HostBehaviour = told["behaviour"] or HostBehaviour()
        self.keys = {" ".join(key.split()[:2]) for key in told["authorized_keys"]}
        self.up = True

    def authorize(self, public_key: str) -> None:
        self.keys.add(" ".join(public_key.split()[:2]))

    def lose_gpu(self) -> None:
        self.behaviour = HostBehaviour(runs_nvidia_smi=False, xid_errors=True)

    async def close(self) -> None:
        self.up = False
        self._street.close(self)


class Street:
    """All of them, by address; ``start`` stands in for ``hosts.start_host``."""

    def __init__(self, *, public_key: str) -> None:
        self._key = " ".join(public_key.split()[:2])
        self._hosts: dict[tuple[str, int], PaperHost] = {}
        self._disks: dict[Path, Disk] = {}
        self._numbers = count(1)

    async def start(self, *, address: str, port: int, home: Path, **told: Any) -> PaperHost:
        number = next(self._numbers)
        port = port or self._free_port(address, number)
        disk = self._disks.setdefault(home, Disk(f"SHA256:paper-{number}"))
        host = self._hosts[address, port] = PaperHost(self, address=address, port=port, disk=disk, told=told)
        return host

    def close(self, host: PaperHost) -> None:
        if self._hosts.get((host.address, host.port)) is host:
            del self._hosts[host.address, host.port]

    def open_shell_of(self, pause: Pause) -> Callable[..., AbstractAsyncContextManager[Shell]]:
        """Return what stands in for ``machines.open_shell`` in one worker's hands."""
        return partial(self._open, pause)

    @asynccontextmanager
    async def _open(
        self,
        pause: Pause,
        connection: Connection,
        *,
        private_key: str,
        deadline_seconds: float,
        known_host: str | None,
    ) -> AsyncIterator[Shell]:
        await pause(0.3)
        host = self._hosts.get((connection.host, connection.port))
        if host is None or not host.behaviour.accepts_ssh:
            raise Unreachable("no SSH: connection refused")
        if host.behaviour.hangs:
            await pause(deadline_seconds)
            raise TimedOut(f"no SSH login within {deadline_seconds:g} s")
        if known_host not in {None, host.fingerprint}:
            raise HostKeyChanged("another machine answers")
        if self._key not in host.keys:
            raise AuthRefused("the machine refuses the platform's key")
        yield PaperShell(host, pause)

    def _free_port(self, address: str, number: int) -> int:
        ports = (_FIRST_PORT + (number + more) % _PORTS for more in range(_PORTS))
        return next(port for port in ports if (address, port) not in self._hosts)


class PaperShell(Shell):
    """Answers the commands that are sent to a machine, by heart."""

    def __init__(self, host: PaperHost, pause: Pause) -> None:
        self.host_key = host.fingerprint
        self._host = host
        self._pause = pause

    async def run(
        self, command: str, *, stdin: bytes = b"", deadline_seconds: float = 30, max_bytes: int = 1024 * 1024
    ) -> Answer:
        await self._pause(0.2)
        if not self._host.up:
            raise Unreachable("the connection broke")
        answer = self._gpu_answer if command.startswith("nvidia-smi") else self._answer
        status, text = answer(command, stdin)
        return Answer(status, text, b"")

    def _gpu_answer(self, command: str, stdin: bytes) -> tuple[int, bytes]:
        gpu, behaviour = self._host.gpu, self._host.behaviour
        if not (behaviour.has_nvidia_smi and behaviour.runs_nvidia_smi):
            return 9, b"NVIDIA-SMI has failed\n"
        ecc = "[N/A]" if "GeForce" in gpu.name else str(behaviour.ecc_errors)
        rows = (
            f"{n}, {gpu.name}, GPU-{self.host_key}-{n}, {gpu.vram_mib}, {gpu.driver}, {ecc}" for n in range(gpu.count)
        )
        return 0, "".join(f"{row}\n" for row in rows).encode()

    def _answer(self, command: str, stdin: bytes) -> tuple[int, bytes]:  # noqa: PLR0911 - one for each command
        if "python3" in command:
            return 42, b""
        if "authorized_keys; else" in command:
            found = self._host.files.get(".ssh/authorized_keys")
            return (3, b"") if found is None else (0, found)
        if found := re.search(r'mv -f "\$new" (\S+);', command):
            self._host.files[found[1]] = stdin
            return 0, b""
        if found := re.fullmatch(r'\[ -d "\$HOME/.hourglass/(\S+)" \]', command):
            return (0 if found[1] in self._host.files else 1), b""
        if found := re.search(r"^\[ -d (\S+) \] \|\| rm -f ", command, re.MULTILINE):
            self._host.files[found[1]] = b""
            return 0, b""
        if "interrupt.exit" in command:
            return 0, b"0\nsaved\n"
        if "startup.exit" in command:
            offset = int(re.search(r"tail -c \+(\d+)", command)[1]) - 1
            return 0, b"0\n" + _LOG[offset:]
        return 0, b""
