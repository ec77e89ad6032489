"""A sandbox machine's home: its files, and the unprivileged user who owns them and runs its commands.

Each machine gets a user of its own when we are root, so that neither the host's files nor another machine's can be
touched; otherwise commands run as ourselves.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARKER = "HOURGLASS_HOST"
_MAX_KEYS_BYTES = 64 * 1024
_USERS = range(61_184, 65_520)
"""User ids that systemd sets aside for users made on the fly: they have no name and own nothing."""
_users_taken: set[int] = set()


@dataclass(frozen=True, slots=True)
class Home:
    """Where a machine's files are and as whom its commands run."""

    path: Path
    uid: int | None
    """None: as ourselves."""
    temporary: bool
    """The wanted place could not be reached by the machine's user; this one goes when the machine does."""

    @property
    def authorized_keys(self) -> str:
        """The text of ``.ssh/authorized_keys`` as it is now; empty when it is missing or not a plain file."""
        with suppress(OSError):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with open(os.open(self.path / ".ssh" / "authorized_keys", flags), "rb") as file:  # noqa: PTH123 - the descriptor is opened so that no link is followed and no pipe waited for
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return file.read(_MAX_KEYS_BYTES).decode(errors="replace")
        return ""

    @property
    def marker(self) -> str:
        """What every process of this machine carries in its environment under ``MARKER``."""
        return str(self.path)

    def write(self, directory: str, files: Mapping[str, str], *, mode: int) -> None:
        """Put files into a folder of the home, replacing what is there and following no link the user left."""
        folder = self.path / directory
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            folder.unlink()
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
        self._give(folder)
        for name, text in files.items():
            file = folder / name
            if file.is_dir() and not file.is_symlink():
                shutil.rmtree(file)
            file.unlink(missing_ok=True)
            with file.open("x", encoding="utf-8") as opened:
                opened.write(text)
            file.chmod(mode)
            self._give(file)

    def release(self) -> None:
        """Give the user id back and remove a temporary home."""
        if self.uid is not None:
            _users_taken.discard(self.uid)
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)

    def _give(self, path: Path) -> None:
        if self.uid is not None:
            os.chown(path, self.uid, self.uid, follow_symlinks=False)


def open_home(path: Path) -> Home:
    """Make the home folder, or take it up again as it was left, closed to everybody but the machine's user."""
    path = path.absolute()
    uid = _free_user(path) if os.geteuid() == 0 else None
    temporary = uid is not None and not _reachable(path.parent)
    if temporary:
        path = Path(tempfile.mkdtemp(prefix="hourglass-host-"))
    path.mkdir(parents=True, exist_ok=True)
    home = Home(path, uid, temporary)
    path.chmod(0o700)
    home._give(path)  # noqa: SLF001 - its own module
    return home


def kill_processes(home: Home) -> int:
    """Kill every process of the machine, however detached, and return how many there were.

    A process is the machine's when its environment says so, or when it runs as the machine's user and its environment
    names no other machine.
    """
    killed = 0
    for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
        if entry.name.isdecimal() and int(entry.name) != os.getpid() and _belongs(entry, home):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(int(entry.name), signal.SIGKILL)
                killed += 1
    return killed


def _belongs(process: Path, home: Home) -> bool:
    try:
        if "\nState:\tZ" in (process / "status").read_text(errors="replace"):
            return False
        variables = (process / "environ").read_bytes().split(b"\0")
        same_user = process.stat().st_uid == home.uid
    except OSError:
        return False
    marks = [variable for variable in variables if variable.startswith(MARKER.encode() + b"=")]
    return os.fsencode(f"{MARKER}={home.marker}") in marks or (same_user and not marks)


def _free_user(path: Path) -> int:
    """Return a user id that follows from the path, so that a home taken up again keeps its owner."""
    start = zlib.crc32(os.fsencode(path)) % len(_USERS)
    uid = next(uid for step in range(len(_USERS)) if (uid := _USERS[(start + step) % len(_USERS)]) not in _users_taken)
    _users_taken.add(uid)
    return uid


def _reachable(folder: Path) -> bool:
    """Whether any user can pass through all existing folders on the way."""
    return all(
        parent.stat().st_mode & stat.S_IXOTH
        for parent in [folder.resolve(), *folder.resolve().parents]
        if parent.exists()
    )
