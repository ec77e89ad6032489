"""Our database on a server of our own: where it is, making it, and making it early.

The first start in a home has a schema to make and everything to import, seconds each. So a process of its own makes the
schema meanwhile. Nothing depends on that: the parent looks afterwards as it does at every start, makes what is
missing, and tells what went wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg

from app.cli.children import Child, Program
from app.kit.connecting import connect_any, with_database
from app.kit.schema import prepare

_DATABASE = "hourglass"
_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.01


def database_on(server_url: str) -> str:
    """Return the URL of our database on a server of our own."""
    return with_database(server_url, _DATABASE)


async def make_database(server_url: str) -> None:
    """Make our database on a server of our own, unless it is there."""
    try:
        await (await connect_any(database_on(server_url), application_name="hourglass-up")).close()
    except asyncpg.InvalidCatalogNameError:
        connection = await connect_any(server_url, application_name="hourglass-up")
        try:
            await connection.execute(f"CREATE DATABASE {_DATABASE}")
        finally:
            await connection.close()


class HeadStart:
    """A forked process that waits to be told of a server, makes the database and its schema there, and ends."""

    def __init__(self, secret: bytes, log: Path) -> None:
        """Fork. The parent must have one thread only."""
        told, self._telling = os.pipe()
        program = Program("migrations", lambda: _make_schema(told, secret), log, keeps=[told])
        self._child = Child(program)
        self._child.start()
        os.close(told)

    def tell(self, server_url: str) -> None:
        """Say where the server is: it answers now."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._telling, server_url.encode())

    def wait(self, *, stopped: Callable[[], bool]) -> None:
        """Return when the process has ended, well or not, within two minutes at most."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._child.has_ended() and not stopped() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self.end()

    def end(self) -> None:
        """End the process if it still runs. Harmless to repeat."""
        if self._telling >= 0:
            os.close(self._telling)
            self._telling = -1
        while not self._child.has_ended():
            self._child.send(signal.SIGKILL)
            time.sleep(_POLL_SECONDS)
        self._child.pid = None


def _make_schema(told: int, secret: bytes) -> None:
    import alembic.command  # noqa: F401 - takes longer than PostgreSQL to start

    if server_url := os.read(told, 4096).decode():
        asyncio.run(_make(server_url, secret))


async def _make(server_url: str, secret: bytes) -> None:
    await make_database(server_url)
    await prepare(database_on(server_url), secret=secret)
