"""Accounts with some history, and an administrator who rewrites it with the triggers off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import asyncpg
import pytest

from app import audit
from app.kit.db import Database, driver
from app.kit.ids import AccountId

Tamper = Callable[..., Awaitable[None]]


@pytest.fixture
def entry(at) -> Callable[..., audit.Entry]:
    def making(account: str, *, target: str = "thing_1", action: str = "thing.changed", **more) -> audit.Entry:
        return audit.Entry(account, action, target, more.pop("at", at), **more)

    return making


@pytest.fixture
async def chain(worker_db, account, entry, at) -> AccountId:
    """An account with ten entries."""
    await grow(worker_db, account, 10, at=at)
    return account


async def grow(db: Database, account: str, count: int, *, at: datetime, first: int = 1) -> None:
    async with db.begin_unscoped() as session:
        for number in range(first, first + count):
            details = {"n": number, "said": '\u00e9 \u2028 "quoted" \\', "deep": {"b": [1, None, True], "a": "x"}}
            moment = at + timedelta(microseconds=number)
            await audit.write(session, audit.Entry(account, "thing.changed", f"t{number}", moment, details=details))


@pytest.fixture
def tamper(databases) -> Tamper:
    """Change history as an administrator who switches the triggers off."""

    async def tampering(*statements: str, account: str) -> None:
        connection = await asyncpg.connect(databases.urls.admin)
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL session_replication_role = replica")
                for statement in statements:
                    await connection.execute(statement, account)
        finally:
            await connection.close()

    return tampering


@pytest.fixture
def verified(api_db) -> Callable[..., Awaitable[audit.Verified]]:
    async def verifying(account: str, **more) -> audit.Verified:
        async with api_db.begin(account) as session:
            return await audit.verify(session, account_id=account, **more)

    return verifying


@pytest.fixture
def rows(api_db) -> Callable[..., Awaitable[list[asyncpg.Record]]]:
    async def reading(account: str) -> list[asyncpg.Record]:
        async with api_db.begin(account) as session:
            return await driver(session).fetch(
                "SELECT *, details::text AS told FROM audit_entries WHERE account_id = $1 ORDER BY seq", account
            )

    return reading
