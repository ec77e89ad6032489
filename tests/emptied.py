"""Databases of a scene's own that are used again: taking a scene's rows out costs less than making another database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import asyncpg
import pytest

_OURS = ["hourglass-api", "hourglass-worker", "hourglass-auth"]
_TABLES = """
SELECT c.oid::regclass::text AS name, c.relispartition AS is_part FROM pg_class c
WHERE c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)' AND c.relkind IN ('r', 'p')
"""
_CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid() AND application_name <> ALL($1)
"""
_UNDER_WAY = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""


class _Database:
    """One that is open, and what was in it from the beginning."""

    def __init__(self, databases: Any, admin: asyncpg.Connection) -> None:
        self.databases, self._admin = databases, admin
        self._tables: set[str] = set()
        self._kept: dict[str, list[asyncpg.Record]] = {}

    @classmethod
    async def opened(cls, databases: Any, admin: asyncpg.Connection) -> _Database:
        made = cls(databases, admin)
        for name, is_part in await admin.fetch(_TABLES):
            made._tables.add(name)
            if not is_part:
                made._kept[name] = await admin.fetch(f"TABLE {name}")
        return made

    async def emptied(self) -> bool:
        """Make it as it was in the beginning; say whether that can be done.

        It can't while a transaction is under way, and not where a table is gone. Those that were made are dropped.
        """
        while await self._admin.fetch(_CUT, _OURS):
            pass
        tables = {row["name"] for row in await self._admin.fetch(_TABLES)}
        if await self._admin.fetchval(_UNDER_WAY) or not tables >= self._tables:
            return False
        for table in tables - self._tables:
            await self._admin.execute(f"DROP TABLE {table}")
        async with self._admin.transaction():
            await self._admin.execute("SET LOCAL session_replication_role = replica")  # no trigger, no foreign key
            await self._admin.execute(";".join(f"DELETE FROM {table}" for table in self._kept))
            for table, rows in self._kept.items():
                if rows:
                    await self._admin.copy_records_to_table(table, records=rows)
        return True


class Shelf:
    """The databases that nobody uses right now."""

    def __init__(self, open_databases: Callable[[], AbstractAsyncContextManager[Any]], stack: AsyncExitStack) -> None:
        self._open, self._stack = open_databases, stack
        self._free: list[_Database] = []

    async def take(self) -> _Database:
        """Return one that is as migrations leave it."""
        if self._free:
            return self._free.pop()
        databases = await self._stack.enter_async_context(self._open())
        admin = await asyncpg.connect(databases.urls.admin)
        self._stack.push_async_callback(admin.close)
        return await _Database.opened(databases, admin)

    async def put_back(self, used: _Database) -> None:
        """Keep it for the next scene, or let its connections go."""
        if await used.emptied():
            self._free.append(used)
        else:
            for database in (used.databases.api, used.databases.worker, used.databases.auth):
                await database.aclose()


@pytest.fixture(scope="session")
async def shelf(open_databases: Callable[[], AbstractAsyncContextManager[Any]]) -> AsyncIterator[Shelf]:
    async with AsyncExitStack() as stack:
        yield Shelf(open_databases, stack)


@pytest.fixture
async def own_databases(shelf: Shelf) -> AsyncIterator[Any]:
    """A database without any rows, as ``fresh_databases``, for a scene that changes no table's shape."""
    used = await shelf.take()
    yield used.databases
    await shelf.put_back(used)


__all__ = ["Shelf", "own_databases", "shelf"]
