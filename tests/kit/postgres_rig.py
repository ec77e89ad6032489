"""What the scenes about the embedded PostgreSQL share: clusters to copy, a supervisor to kill, questions to ask."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from app.kit.embedded_postgres import EmbeddedPostgres

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")

SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from app.kit.embedded_postgres import EmbeddedPostgres, PostgresError

async def supervise():
    try:
        server = await EmbeddedPostgres.start(Path(sys.argv[1]))
    except PostgresError as error:
        print(type(error).__name__, error, flush=True)
        return
    print(server.pid, flush=True)
    if sys.argv[2:] == ["briefly"]:
        import asyncpg
        connection = await asyncpg.connect(server.admin_url)
        print(await connection.fetchval("SHOW data_checksums"), flush=True)
        await connection.close()
        await server.stop()
        return
    await server.wait()

asyncio.run(supervise())
"""


@contextlib.asynccontextmanager
async def running(home, **settings):
    server = await EmbeddedPostgres.start(home, settings=settings)
    try:
        yield server
    finally:
        await server.stop()


async def ask(server, query):
    connection = await asyncpg.connect(server.admin_url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def answer(home):
    async with running(home) as server:
        return await ask(server, "SELECT answer FROM kept")


def supervisor(home, *arguments, python=sys.executable, **options):
    return subprocess.Popen(
        [python, "-c", SUPERVISOR, str(home), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **options,
    )


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        await asyncio.sleep(0.01)


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def begin(command, **options):
    return subprocess.Popen(command, **options)


def python_path():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def copy_of(cluster, home):
    """Copy a cluster that is shut down, owners and modes included."""
    home.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["/bin/cp", "-a", str(cluster), str(home)], check=True)
    return home


def status_of(pid):
    return Path(f"/proc/{pid}/status").read_text()


def mode_of(path):
    return Path(path).lstat().st_mode & 0o777 if os.path.lexists(path) else None
