"""Finding and ending the processes of one PostgreSQL cluster, also those that a killed parent left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.kit.postgres_errors import DataDirectoryUnusable


@dataclass(frozen=True)
class PostgresProcesses:
    """The processes of a cluster, known by their command lines, which every user may read.

    The first process keeps the line it was started with; its children call themselves by the name of the cluster.
    """

    cluster_name: str
    data: Path
    partial: Path

    def ids(self) -> list[int]:
        """Return the ids of those that live."""
        programs = (f"/postgres -D {self.data} ", f"/initdb -D {self.partial} ")
        return [
            pid
            for pid, line in _command_lines()
            if line.startswith(f"postgres: {self.cluster_name}: ") or any(program in line for program in programs)
        ]

    async def end(self) -> None:
        """End them: by a fast shutdown, and if that takes too long by force.

        Raises:
            DataDirectoryUnusable: one of them can't be ended.
        """
        for end_signal, seconds in ((signal.SIGINT, 30), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            pids = self.ids()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, end_signal)
            deadline = time.monotonic() + seconds
            while pids and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
                pids = self.ids()
            if not pids:
                return
        raise DataDirectoryUnusable(
            f"Processes {pids} still use {self.data} and do not end. End them (kill -9), then start again."
        )


def _command_lines() -> Iterator[tuple[int, str]]:
    """Yield (process id, command line) of every process that can be seen."""
    proc = Path("/proc")
    if (proc / "self/cmdline").exists():
        for entry in proc.iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    yield int(entry.name), line.decode(errors="surrogateescape")
        return
    listed = subprocess.run(["/bin/ps", "-axo", "pid=,command="], capture_output=True, check=True)
    for row in listed.stdout.decode(errors="surrogateescape").splitlines():
        pid, _, command = row.strip().partition(" ")
        yield int(pid), command + " "
