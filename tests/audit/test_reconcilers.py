"""The worker looks after every chain by itself, and remembers how it was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
import structlog
from structlog.testing import capture_logs

from app import audit
from app.audit.checking import WHOLE_EVERY
from app.audit.reconcilers import verifying
from app.kit.db import Database, driver
from app.kit.ids import AccountId
from app.kit.leases import BUCKETS, Holding, bucket_name, bucket_of
from app.kit.log import cleaned
from app.kit.reconcile import Round, Runner

from .conftest import grow

OWN = "account_id = $1"


@pytest.fixture(scope="module")
async def own(open_databases) -> AsyncIterator:
    """A database in which no other test writes."""
    async with open_databases() as databases:
        yield databases


@pytest.fixture
def db(own) -> Database:
    return own.worker


@pytest.fixture
async def this(db, at) -> Round:
    """A round that holds every bucket; nothing is there when it begins."""
    names = [bucket_name(bucket) for bucket in range(BUCKETS)]
    async with db.begin_unscoped() as session:
        await driver(session).execute(
            "INSERT INTO leases (name, owner, fence, expires_at) SELECT name, 'me', 4, now() + interval '1 hour' "
            "FROM unnest($1::text[]) AS n(name) ON CONFLICT (name) DO NOTHING",
            names,
        )
    return Round(at, Holding("me", dict.fromkeys(names, 4)))


@pytest.fixture
async def chain(own, db, this, at) -> AccountId:
    """An account with five entries, the only one there is."""
    await tampered(own, "DELETE FROM audit_entries", "DELETE FROM audit_heads", "DELETE FROM audit_checks")
    account = AccountId.new()
    await grow(db, account, 5, at=at)
    return account


async def tampered(own, *statements: str, account: str | None = None) -> None:
    connection = await asyncpg.connect(own.urls.admin)
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            for statement in statements:
                await connection.execute(statement, *([] if account is None else [account]))
    finally:
        await connection.close()


def later(this: Round, **more: int) -> Round:
    return replace(this, at=this.at + timedelta(**more))


async def checked(db: Database, account: str) -> asyncpg.Record:
    async with db.begin_unscoped() as session:
        return await driver(session).fetchrow("SELECT * FROM audit_checks WHERE account_id = $1", account)


async def test_finds_what_has_grown_and_skips_the_rest(db, this, chain, at) -> None:
    reconciler = verifying(db)
    assert await reconciler.find(this, 10) == [chain]
    elsewhere = replace(this, holding=Holding("me", {bucket_name((bucket_of(chain) + 1) % BUCKETS): 4}))
    assert await reconciler.find(elsewhere, 10) == []
    await Runner(reconciler).run_once(this)
    assert await reconciler.find(later(this, hours=1), 10) == []
    await grow(db, chain, 1, at=at)
    assert await reconciler.find(later(this, minutes=5), 10) == [], "it was looked at just now"
    assert await reconciler.find(later(this, hours=1), 10) == [chain]
    assert await reconciler.find(replace(this, at=this.at + WHOLE_EVERY), 10) == [chain]


async def test_succeeds_and_keeps_how_far_it_is_whole(db, this, chain, at) -> None:
    assert await Runner(verifying(db)).run_once(this) == {"verified": 1}
    assert (await checked(db, chain))["seq"] == 5
    await grow(db, chain, 3, at=at)
    following = later(this, hours=1)
    assert await Runner(verifying(db)).run_once(following) == {"verified": 1}
    row = await checked(db, chain)
    assert (row["seq"], row["checked_at"], row["whole_at"], row["first_bad_seq"]) == (8, following.at, this.at, None)


async def test_tells_the_head_in_the_log_as_it_is(db, this, chain) -> None:
    structlog.reset_defaults()  # others' scenes want silence
    with capture_logs(processors=[cleaned]) as told:
        await Runner(verifying(db)).run_once(this)
    [line] = [one for one in told if one["event"] == "audit.verified"]
    assert (line["account_id"], line["seq"]) == (chain, 5)
    assert line["hash"] == (await checked(db, chain))["hash"].hex()


async def test_runs_twice(db, this, chain) -> None:
    reconciler = verifying(db)
    assert await Runner(reconciler).run_once(this) == {"verified": 1}
    assert await Runner(reconciler).run_once(this) == {}
    assert await reconciler.step(this, chain) == "verified"


async def test_a_stale_fence_keeps_nothing(db, this, chain) -> None:
    late = replace(this, holding=Holding("me", dict.fromkeys(this.holding.fences, 3)))
    assert await Runner(verifying(db)).run_once(late) == {"stale_fence": 1}
    assert await checked(db, chain) is None


async def test_a_broken_chain_is_told_until_it_is_whole_again(own, db, this, chain) -> None:
    await tampered(own, f"UPDATE audit_entries SET actor = 'x' WHERE {OWN} AND seq = 3", account=chain)
    assert await Runner(verifying(db)).run_once(this) == {"broken": 1}
    assert (await checked(db, chain))["first_bad_seq"] == 3
    assert await Runner(verifying(db)).run_once(later(this, hours=1)) == {"broken": 1}


async def test_once_a_week_what_was_found_whole_is_read_again(own, db, this, chain) -> None:
    await Runner(verifying(db)).run_once(this)
    await tampered(own, f"UPDATE audit_entries SET actor = 'x' WHERE {OWN} AND seq = 2", account=chain)
    assert await Runner(verifying(db)).run_once(later(this, hours=1)) == {}
    assert await Runner(verifying(db)).run_once(replace(this, at=this.at + WHOLE_EVERY)) == {"broken": 1}
    assert (await checked(db, chain))["first_bad_seq"] == 2


@pytest.mark.parametrize("entries", [0, 3, 5, 9])
async def test_a_history_that_is_told_anew_is_not_the_one_that_was_seen(own, db, this, chain, at, entries) -> None:
    await Runner(verifying(db)).run_once(this)
    await tampered(own, f"DELETE FROM audit_entries WHERE {OWN}", f"DELETE FROM audit_heads WHERE {OWN}", account=chain)
    if entries:
        async with db.begin_unscoped() as session:
            for number in range(entries):
                await audit.write(session, audit.Entry(chain, "another.history", f"n{number}", at))
    for _ in range(2):
        assert await verifying(db).step(later(this, hours=1), chain) == "broken"
    if entries != 5:
        assert await verifying(db).find(later(this, hours=2), 10) == [chain]
