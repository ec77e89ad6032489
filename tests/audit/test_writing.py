"""An entry is there when its act is, in the order of the acts, and nobody can take it away."""

from __future__ import annotations

import asyncio
from datetime import datetime

import asyncpg
import pytest

from app import audit
from app.kit.db import Database, driver
from app.kit.ids import AccountId
from app.web.origin import Origin, acting


def entry(account: AccountId, at: datetime, *, target: str = "thing_1", **more: object) -> audit.Entry:
    return audit.Entry(account, "thing.changed", target, at, **more)  # type: ignore[arg-type]


async def rows(db: Database, account: AccountId) -> list[asyncpg.Record]:
    async with db.begin(account) as session:
        return await driver(session).fetch(
            "SELECT *, details::text AS told FROM audit_entries WHERE account_id = $1 ORDER BY seq", account
        )


async def test_an_entry_commits_with_its_act(api_db, account, at) -> None:
    origin = Origin("key_1", "usr_1", "req_1", "192.0.2.1")
    with acting(origin):
        async with api_db.begin(account) as session:
            await audit.write(session, entry(account, at, details=audit.changes({"a": 1, "b": 2}, {"a": 1, "b": 3})))
    (row,) = await rows(api_db, account)
    assert (row["seq"], row["actor"], row["user_id"]) == (1, "key_1", "usr_1")
    assert (row["request_id"], row["address"], row["at"]) == ("req_1", "192.0.2.1", at)
    assert row["told"] == '{"after": {"b": 3}, "before": {"b": 2}}'


async def test_what_rolls_back_leaves_no_entry_and_no_gap(api_db, account, at) -> None:
    async def act_and_fail() -> None:
        async with api_db.begin(account) as session:
            await audit.write(session, entry(account, at))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await act_and_fail()
    async with api_db.begin(account) as session:
        await audit.write(session, entry(account, at))
    assert [row["seq"] for row in await rows(api_db, account)] == [1]


async def test_acts_of_one_transaction_keep_their_order(worker_db, new_account, at) -> None:
    first, second = sorted([await new_account(), await new_account()])
    async with worker_db.begin_unscoped() as session:
        for number in range(3):
            await audit.write(session, entry(second, at, target=f"t{number}"), entry(first, at, target=f"t{number}"))
    for account in (first, second):
        assert [(row["seq"], row["target"]) for row in await rows(worker_db, account)] == [
            (1, "t0"),
            (2, "t1"),
            (3, "t2"),
        ]


async def test_the_service_acts_by_itself_where_nobody_else_does(worker_db, account, at) -> None:
    async with worker_db.begin_unscoped() as session:
        await audit.write(session, entry(account, at))
    (row,) = await rows(worker_db, account)
    assert (row["actor"], row["request_id"]) == ("system", None)


async def test_many_at_once_leave_no_gap_and_one_chain(api_db, account, at) -> None:
    async def act(number: int) -> None:
        async with api_db.begin(account) as session:
            await audit.write(session, entry(account, at, target=f"t{number}"))

    await asyncio.gather(*(act(number) for number in range(40)))
    found = await rows(api_db, account)
    assert [row["seq"] for row in found] == list(range(1, 41))
    assert {row["target"] for row in found} == {f"t{number}" for number in range(40)}


async def test_transactions_over_the_same_accounts_in_any_order_close_no_circle(worker_db, new_account, at) -> None:
    accounts = [await new_account() for _ in range(4)]

    async def act(turn: int) -> None:
        async with worker_db.begin_unscoped() as session:
            for account in accounts[turn % 4 :] + accounts[: turn % 4]:
                await audit.write(session, entry(account, at))

    await asyncio.gather(*(act(turn) for turn in range(24)))
    for account in accounts:
        assert len(await rows(worker_db, account)) == 24


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET actor = 'me'",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "DELETE FROM audit_heads",
        "UPDATE audit_heads SET seq = seq - 1",
        "UPDATE audit_heads SET seq = seq + 2",
        "UPDATE audit_heads SET hash = ''",
        "TRUNCATE audit_heads",
    ],
)
async def test_nobody_changes_what_is_written(databases, account, at, statement) -> None:
    async with databases.api.begin(account) as session:
        await audit.write(session, entry(account, at))
    for db in (databases.api, databases.worker):
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.RestrictViolationError)):
            async with db.begin(account) as session:
                await driver(session).execute(statement)
    administrator = await asyncpg.connect(databases.urls.admin)
    try:
        with pytest.raises(asyncpg.RestrictViolationError):
            await administrator.execute(statement)
    finally:
        await administrator.close()


async def test_an_account_sees_its_own_alone(api_db, new_account, at) -> None:
    mine, other = await new_account(), await new_account()
    async with api_db.begin(other) as session:
        await audit.write(session, entry(other, at))
    async with api_db.begin(mine) as session:
        assert await driver(session).fetchval("SELECT count(*) FROM audit_entries") == 0
        assert await driver(session).fetchval("SELECT count(*) FROM audit_heads") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with api_db.begin(mine) as session:
            await audit.write(session, entry(other, at))
