"""The directory of an embedded PostgreSQL: who may use it, what lies in it, and which processes belong to it.

lock          held by flock for as long as a process uses the home; holds that process's id
data/         the cluster; appears by rename, so it is whole or absent
data.partial/ a cluster being made
run/          the socket (elsewhere where the path would be too long)
log/          what the server writes
pg_hba.conf, pg_ident.conf
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pwd
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from app.kit.postgres_errors import AlreadyRunning, DataDirectoryUnusable, told_plainly
from app.kit.postgres_processes import PostgresProcesses

MAJOR_VERSION = "18"
SOCKET_NAME = ".s.PGSQL.5432"

_SOCKET_PATH_BYTES = 107
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+-]+")


@dataclass(frozen=True)
class PostgresHome:
    """A home whose lock this process holds, with its directories made and checked."""

    path: Path
    user: tuple[int, int]
    socket_directory: Path
    cluster_name: str
    lock: int

    @classmethod
    def take(cls, path: Path) -> PostgresHome:
        """Lock the home and make what belongs in it.

        Raises:
            AlreadyRunning: another process holds it.
            DataDirectoryUnusable: it is somebody else's, or of another version of PostgreSQL.
            DiskFull: there is no room.
        """
        nearest = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
        with told_plainly(nearest):
            path.mkdir(parents=True, exist_ok=True)
            path = path.resolve()
            lock = _lock(path)
        try:
            with told_plainly(path):
                return cls._furnish(path, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def _furnish(cls, path: Path, lock: int) -> PostgresHome:
        found = path.stat()
        digest = hashlib.sha256(f"{path}:{found.st_dev}:{found.st_ino}".encode()).hexdigest()[:16]
        user = _server_user(path / "data")
        run = path / "run"
        fits = len(os.fsencode(run / SOCKET_NAME)) <= _SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(str(run))
        home = cls(
            path=path,
            user=user,
            socket_directory=run if fits else Path(tempfile.gettempdir()) / f"hourglass-{digest}",
            cluster_name=f"hourglass-{digest}",
            lock=lock,
        )
        home._check_data()
        home._private_directory(home.socket_directory)
        home._private_directory(path / "log")
        home._write_access_rules()
        return home

    @staticmethod
    def has_cluster(path: Path) -> bool:
        """Say whether a home, which need not be taken for that, has a cluster to start."""
        return (path / "data" / "PG_VERSION").exists()

    @property
    def data(self) -> Path:
        """The cluster's directory, which PostgreSQL calls the data directory."""
        return self.path / "data"

    @property
    def partial(self) -> Path:
        """The cluster's directory while it is being made."""
        return self.path / "data.partial"

    def release(self) -> None:
        """Give the home up; the descriptor is closed, and with it the lock."""
        if self.socket_directory.parent != self.path:
            shutil.rmtree(self.socket_directory, ignore_errors=True)
        os.close(self.lock)

    def begin_partial(self) -> None:
        """Make an empty `data.partial` for the server's user, removing what an earlier attempt left."""
        with told_plainly(self.path):
            self.drop_partial()
            self._private_directory(self.partial)

    def drop_partial(self) -> None:
        """Remove `data.partial` with all that is in it."""
        if self.partial.exists():
            shutil.rmtree(self.partial)

    def keep_partial(self) -> None:
        """Turn `data.partial` into `data`, durably and in one step."""
        with told_plainly(self.path):
            if self.data.exists():
                self.data.rmdir()
            self.partial.rename(self.data)
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def clear_stale_locks(self) -> int | None:
        """Prepare for a start after a crash, when no process of this cluster lives any more.

        PostgreSQL checks a left `postmaster.pid` itself, by process id and by shared memory, so it is kept; only an
        empty one, cut off between creation and writing, is removed. Returns the id that the file names: PostgreSQL
        must be told that this id is not a server, since another process may have got it by now.
        """
        for socket_file in self.socket_directory.glob(f"{SOCKET_NAME}*"):
            socket_file.unlink(missing_ok=True)
        lines = self._postmaster_lines()
        if lines is not None and not (lines and lines[0].strip("- ").isdigit()):
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            return None
        return int(lines[0].strip("- ")) if lines else None

    def is_ready(self, pid: int) -> bool:
        """Return whether the server of that process id says that it takes connections."""
        lines = self._postmaster_lines() or []
        status_line = 7
        return len(lines) > status_line and lines[0] == str(pid) and lines[status_line].strip() == "ready"

    @property
    def processes(self) -> PostgresProcesses:
        """The server processes of this home, whoever started them."""
        return PostgresProcesses(self.cluster_name, self.data, self.partial)

    def log_tail(self, *, lines: int = 15) -> str:
        """Return the last lines of the server's newest log file."""
        with contextlib.suppress(OSError, ValueError):
            newest = max((self.path / "log").iterdir(), key=lambda file: file.stat().st_mtime_ns)
            return "\n".join(newest.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _check_data(self) -> None:
        if not self.data.exists() or not any(self.data.iterdir()):
            return
        version_file = self.data / "PG_VERSION"
        if not version_file.is_file():
            raise DataDirectoryUnusable(
                f"{self.data} is not empty and holds no PG_VERSION, so it is not a cluster of PostgreSQL. Move it away "
                "or set HOURGLASS_HOME to another directory; a new cluster is then made."
            )
        version = version_file.read_text(errors="replace").strip()
        if version != MAJOR_VERSION:
            raise DataDirectoryUnusable(
                f"{self.data} was written by PostgreSQL {version or '(unknown)'}, this is PostgreSQL {MAJOR_VERSION}. "
                "Dump it with the old version (pg_dumpall) and load it into a new home, or set HOURGLASS_HOME to "
                "another directory."
            )
        owner = self.data.stat().st_uid
        if owner != self.user[0]:
            raise DataDirectoryUnusable(
                f"{self.data} belongs to user id {owner}, and PostgreSQL would run as user id {self.user[0]}. Start as "
                f"its owner, or give it away with: chown -R {self.user[0]}:{self.user[1]} {self.data}"
            )

    def _private_directory(self, directory: Path) -> None:
        """Make a directory of mode 0700 for the server's user, or see that an existing one is just that."""
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        found = directory.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() != self.user[0]:
            os.chown(directory, *self.user, follow_symlinks=False)
            found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.user[0] or found.st_mode & 0o077:
            raise DataDirectoryUnusable(
                f"{directory} must be a directory of user id {self.user[0]} with mode 0700, and it is not. Remove it; "
                "it is made again at the next start."
            )

    def _write_access_rules(self) -> None:
        """Let in this process's user alone.

        The directory of the socket keeps everybody else out. When root has given the server to another user, that user
        may run other things; so the server then asks the kernel who is calling, and only root may.
        """
        method = "trust"
        if self.user[0] != os.geteuid():
            with contextlib.suppress(KeyError):
                caller = pwd.getpwuid(os.geteuid()).pw_name
                _write_file(self.path / "pg_ident.conf", f'hourglass "{caller}" all\n')
                method = "peer map=hourglass"
        _write_file(self.path / "pg_hba.conf", f"local all all {method}\nlocal replication all {method}\n")

    def _postmaster_lines(self) -> list[str] | None:
        try:
            return (self.data / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return None


def _lock(path: Path) -> int:
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "(unknown)"
        os.close(lock)
        raise AlreadyRunning(
            f"The PostgreSQL in {path} is in use by process {holder}. Stop that process (kill {holder}), or set "
            "HOURGLASS_HOME to another directory to run a second one."
        ) from None
    except OSError:
        os.close(lock)
        raise
    return lock


def _server_user(data: Path) -> tuple[int, int]:
    """Return (uid, gid) to run the server as: ourselves, or for root whoever owns the data, or a user without rights."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return owner.st_uid, owner.st_gid
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise DataDirectoryUnusable(
        "PostgreSQL refuses to run as root, and there is neither a user 'postgres' nor 'nobody' to run it as. Create "
        "one of them (useradd --system postgres), or start as an ordinary user."
    )


def _write_file(path: Path, content: str) -> None:
    """Write a file that everybody may read, whole or not at all, through no link that lies in the way."""
    with contextlib.suppress(FileNotFoundError):
        if not path.is_symlink() and path.read_text() == content:
            return
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        os.fchmod(descriptor, 0o644)
    new.replace(path)
