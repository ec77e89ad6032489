"""The directory of one ``hourglass up``: one process at a time, a secret, a demo key, logs.

lock              held by flock while ``up`` runs; says who
secret            the deployment's secret, unless HOURGLASS_SECRET is set (only its owner reads it)
platform_ssh_key  by which machines are checked
demo.json         the demo account and its key
postgres/         the embedded PostgreSQL
sandbox/          the homes of the sandbox's machines
log/              what the processes write
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.cli.errors import UpError
from app.kit.private_files import ExposedFileError, keep_private, read_private, write_private

_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo account and its key."""

    account_id: str
    api_key: str


@dataclass(frozen=True, slots=True)
class Home:
    """A home whose lock this process holds."""

    path: Path
    after_a_crash: bool
    """The process before us did not end in good order."""
    lock: int

    @classmethod
    def take(cls, path: Path) -> Home:
        """Make the home if need be, and lock it.

        Raises:
            UpError: another process runs on it, or it can't be written.
        """
        with told_plainly(path):
            path.mkdir(parents=True, exist_ok=True)
            path = path.resolve()
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            left = os.pread(lock, 200, 0).decode(errors="replace").strip()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                raise UpError(
                    f"Hourglass is running on {path} already: process {left or '(just starting)'}. Stop it with Ctrl-C, "
                    "or set HOURGLASS_HOME and HOURGLASS_PORT to run a second one."
                ) from None
            home = cls(path, bool(left), lock)
            home.say(str(os.getpid()))
            (path / "log").mkdir(mode=0o700, exist_ok=True)
            return home

    def say(self, text: str) -> None:
        """Write who holds the lock, for whoever meets it."""
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, text.encode() + b"\n", 0)

    def release(self) -> None:
        """Give the home up in good order."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.lock, 0)
        os.close(self.lock)

    def secret(self) -> str:
        """Return the secret of this home, made at the first call."""
        with told_plainly(self.path):
            return keep_private(self.path / "secret", secrets.token_hex(32))

    def demo(self) -> Demo | None:
        """Return the demo account that was kept, if any."""
        with told_plainly(self.path):
            return read_demo(self.path)

    def keep_demo(self, demo: Demo) -> None:
        """Keep the demo account for the next start."""
        with told_plainly(self.path):
            told = {"account_id": demo.account_id, "api_key": demo.api_key}
            write_private(self.path / "demo.json", json.dumps(told))

    def log_path(self, process: str) -> Path:
        """Return where a process writes."""
        return self.path / "log" / f"{process}.log"


def read_demo(home: Path) -> Demo | None:
    """Return the demo account of a home, whoever holds it; None when there is none that can be read."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        told = json.loads(read_private(home / "demo.json") or "{}")
        return Demo(told["account_id"], told["api_key"])
    return None


@contextlib.contextmanager
def told_plainly(home: Path) -> Iterator[None]:
    """Turn what the file system says into a message that says what to do.

    Raises:
        UpError: an OSError or an exposed file in the block.
    """
    try:
        yield
    except ExposedFileError as error:
        raise UpError(str(error)) from None
    except OSError as error:
        if error.errno in _FULL:
            raise UpError(
                f"No room on the disk of {home}. Free at least 200 MB there, or put HOURGLASS_HOME on another disk, and "
                "start again; nothing is broken."
            ) from None
        raise UpError(
            f"Can't use {error.filename or home}: {error.strerror}. Make {home} a directory that this user may write, "
            "or set HOURGLASS_HOME to one."
        ) from None
