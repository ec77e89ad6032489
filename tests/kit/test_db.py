"""Transactions: they carry their account, end surely, and survive what happens to connections."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from sqlalchemy import text

from app.kit.connecting import host_urls, with_user
from app.kit.db import CommitRefusedError, driver
from app.kit.ids import AccountId


async def settle_down(databases) -> int:
    """Cut every connection of a database from the server's side; return how many there were."""
    connection = await asyncpg.connect(databases.urls.admin)
    cut = await connection.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()
    await asyncio.sleep(0.05)
    return cut


async def test_idle_connections_that_were_cut_are_replaced_unnoticed(fresh_databases) -> None:
    api = fresh_databases.api
    await asyncio.gather(*(api.fetch_once("SELECT pg_sleep(0.05)") for _ in range(4)))
    assert await settle_down(fresh_databases) >= 4

    assert (await api.fetch_once("SELECT 1 AS one"))[0]["one"] == 1
    async with api.begin(AccountId.new()) as session:
        assert (await session.execute(text("SELECT 1"))).scalar() == 1


async def test_a_transaction_cut_in_the_middle_is_run_again_whole(fresh_databases) -> None:
    tries = 0

    async def work(session) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            await settle_down(fresh_databases)
        return await driver(session).fetchval("SELECT 7")

    assert await fresh_databases.worker.run(work) == 7
    assert tries == 2


async def test_a_failure_that_stays_is_not_tried_again(worker_db) -> None:
    tries = 0

    async def work(session) -> None:
        nonlocal tries
        tries += 1
        await driver(session).fetchval("SELECT 1 / 0")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await worker_db.run(work)
    assert tries == 1


async def test_a_transaction_that_failed_inside_can_not_pass_for_committed(worker_db) -> None:
    async def swallowing() -> None:
        async with worker_db.begin_unscoped() as session:
            with pytest.raises(asyncpg.DivisionByZeroError):
                await driver(session).fetchval("SELECT 1 / 0")

    with pytest.raises(CommitRefusedError):
        await swallowing()


async def test_the_account_is_set_for_one_transaction_only(api_db) -> None:
    account = AccountId.new()
    setting = text("SELECT current_setting('app.account_id', true)")
    async with api_db.begin(account) as session:
        assert (await session.execute(setting)).scalar() == account
    for _ in range(12):
        async with api_db.begin_unscoped() as session:
            assert (await session.execute(setting)).scalar() in {"", None}


async def test_an_account_that_is_no_id_opens_nothing(api_db) -> None:
    with pytest.raises(ValueError, match="must be an id"):
        async with api_db.begin("acct_'; RESET ROLE; --"):  # type: ignore[arg-type]
            pass


async def test_a_commit_is_seen_through_when_its_task_is_cancelled(worker_db) -> None:
    account = AccountId.new()
    key = f"cancelled-{account}"

    async def write() -> None:
        async with worker_db.begin_unscoped() as session:
            await driver(session).execute("INSERT INTO workers (owner, seen_at) VALUES ($1, now())", key)

    for hops in range(1, 12):
        task = asyncio.create_task(write())
        for _ in range(hops):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        rows = await worker_db.fetch_once("SELECT 1 FROM workers WHERE owner = $1", key)
        await worker_db.fetch_once("DELETE FROM workers WHERE owner = $1", key)
        assert len(rows) <= 1
    await write()
    assert len(await worker_db.fetch_once("SELECT 1 FROM workers WHERE owner = $1", key)) == 1
    await worker_db.fetch_once("DELETE FROM workers WHERE owner = $1", key)


def test_each_host_of_a_url_is_tried_by_itself() -> None:
    assert host_urls("postgresql://u:p@a:1,b:2/d?x=y") == ["postgresql://u:p@a:1/d?x=y", "postgresql://u:p@b:2/d?x=y"]
    assert with_user("postgresql://u:p@a:1/d", user="x", password="y/z") == "postgresql://x:y%2Fz@a:1/d"
