"""Machines that answer in place, without SSH: what they tell of their GPUs is what the sandbox says that is in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from app.catalog import match_family
from app.machines import Shell, Unreachable
from app.machines.shell import Answer
from app.providers import Connection
from app.sandbox import Sandbox

_NO_PYTHON = 42
_MIB = 1024


class AnsweringShell(Shell):
    """Knows nvidia-smi; has no Python and no files."""

    def __init__(self, gpu_name: str, gpu_count: int) -> None:
        self.host_key = "SHA256:same"
        self._gpus = "".join(
            f"{index}, {gpu_name}, GPU-{index}, {_vram(gpu_name)}, 550, 0\n" for index in range(gpu_count)
        )

    async def run(self, command: str, **_: Any) -> Answer:
        if "python3" in command:
            return Answer(_NO_PYTHON, b"", b"")
        return Answer(0, self._gpus.encode() if "nvidia-smi" in command else b"", b"")

    async def write_file(self, *_: Any, **__: Any) -> None:
        return


def answering_in(sandbox: Sandbox) -> Callable[..., AbstractAsyncContextManager[Shell]]:
    """Return what opens such a shell on a machine of a sandbox that is up."""

    @asynccontextmanager
    async def open_shell(connection: Connection, **_: Any) -> AsyncIterator[Shell]:
        here = (connection.host, connection.port)
        for truth in sandbox.truth:
            if (truth.ssh_address, truth.ssh_port) == here and truth.ended_at is None:
                yield AnsweringShell(truth.gpu_name, truth.gpu_count)
                return
        raise Unreachable("nobody is there")

    return open_shell


def _vram(gpu_name: str) -> int:
    sizes = (gb * _MIB for gb in (6, 8, 10, 12, 16, 24, 32, 40, 48, 80, 94, 96, 141, 180, 288))
    return next(vram for vram in sizes if match_family(gpu_name, vram) is not None)
