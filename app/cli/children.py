"""Child processes: forked from a parent that has imported everything, kept alive, and never outliving it.

A fork starts in milliseconds where a new interpreter would need a second or two to import the same again. It is safe
here because the parent has one thread and no event loop at that moment. Where the system can tell (Linux), a child is
sent a signal when its parent dies, however it dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_BACKOFF_FIRST_SECONDS = 0.5
_BACKOFF_MAX_SECONDS = 30.0
_STEADY_SECONDS = 30.0
"""Who has run so long starts again at once when it ends."""
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Program:
    """What a child runs."""

    name: str
    run: Callable[[], None]
    log: Path
    keeps: Sequence[int] = ()
    """File descriptors that it needs; all others are closed in it."""
    stop_seconds: float = 20.0
    at_parents_death: signal.Signals = signal.SIGKILL


@dataclass(slots=True)
class Child:
    """A program as a process, started again whenever it ends."""

    program: Program
    pid: int | None = None
    started_at: float = 0.0
    crashes: int = 0
    """In a row, without a steady run between."""
    again_at: float = 0.0
    last_status: int = field(default=0)

    def start(self) -> None:
        """Fork."""
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        self.started_at = time.monotonic()
        self.pid = os.fork() or _become(self.program, parent)

    def look(self) -> bool:
        """Note whether the process has ended, and start it again when its time has come. Returns whether it runs."""
        if self.pid is None and time.monotonic() >= self.again_at:
            self.start()
        elif self.pid is not None and self.has_ended():
            self.pid = None
            steady = time.monotonic() - self.started_at >= _STEADY_SECONDS
            self.crashes = 1 if steady else self.crashes + 1
            pause = _BACKOFF_FIRST_SECONDS * 2 ** min(self.crashes - 1, 10)
            self.again_at = time.monotonic() + min(_BACKOFF_MAX_SECONDS, pause)
        return self.pid is not None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def log_tail(self, *, lines: int = 12) -> str:
        """Return the end of its log."""
        with contextlib.suppress(OSError):
            with self.program.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
                text = file.read().decode(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""

    def has_ended(self) -> bool:
        """Say whether the process has ended, or was never started."""
        if self.pid is None:
            return True
        try:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return True
        if ended:
            self.last_status = os.waitstatus_to_exitcode(status)
        return bool(ended)


def stop_together(children: Sequence[Child], *, hurry: Callable[[], bool]) -> None:
    """Ask children to end and wait until they have; who takes too long, or when there is a hurry, is killed."""
    for child in children:
        child.send(signal.SIGTERM)
    began = time.monotonic()
    while left := [child for child in children if child.pid is not None and not child.has_ended()]:
        for child in left:
            if hurry() or time.monotonic() - began > child.program.stop_seconds:
                child.send(signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    for child in children:
        child.pid = None


def _become(program: Program, parent: int) -> NoReturn:
    """Run the program in the forked child; never returns to the parent's code."""
    status = 1
    try:
        _settle_in(program, parent)
        program.run()
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 - the log must say why this process ends
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _settle_in(program: Program, parent: int) -> None:
    """Leave the parent's terminal, signals and files behind."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, program.at_parents_death, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    kept = sorted({0, 1, 2, *program.keeps})
    for low, high in zip(kept, [*kept[1:], _descriptors_max()], strict=True):
        os.closerange(low + 1, high)


def _descriptors_max() -> int:
    with contextlib.suppress(OSError):
        return max(int(entry.name) for entry in Path("/proc/self/fd").iterdir()) + 1
    return 4096
