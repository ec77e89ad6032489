"""Waiting for the moment in which one transaction stands before a lock of another."""

from __future__ import annotations

import asyncio

from app.kit.db import Database, driver

_SECONDS_MAX = 10
_WAITS = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid)))"


async def waited_for(db: Database, session) -> None:
    """Return once another transaction waits for a lock that this one holds."""
    holder = await driver(session).fetchval("SELECT pg_backend_pid()")
    async with asyncio.timeout(_SECONDS_MAX), db.begin_unscoped() as looking:
        while not await driver(looking).fetchval(_WAITS, holder):  # noqa: ASYNC110 - the database is looked at from outside
            await asyncio.sleep(0.01)
