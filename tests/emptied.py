"""Databases of a scene's own that are used again: taking a scene's rows out costs less than making another database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import asyncpg
import pytest

_OURS = ["hourglass-api", "hourglass-worker", "hourglass-auth"]
_TABLES = """
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
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

    def __init__(self, databases: Any, admin: asyncpg.Connection, kept: dict[str, list[str]]) -> None:
        self.databases, self._admin, self._kept = databases, admin, kept

    @classmethod
    async def opened(cls, databases: Any, admin: asyncpg.Connection) -> _Database:
        kept = {}
        for (table,) in await admin.fetch(_TABLES):
            kept[table] = await admin.fetch(f"TABLE {table}")
        return cls(databases, admin, kept)

    async def emptied(self) -> bool:
        """Make it as it was in the beginning; say whether that could be done: it can't while a transaction is under way."""
        while await self._admin.fetch(_CUT, _OURS):
            pass
        if await self._admin.fetchval(_UNDER_WAY):
            return False
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
        """Keep it for the next scene."""
        if await used.emptied():
            self._free.append(used)


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
