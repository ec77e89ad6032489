"""Leases: work is divided, a late worker is refused, and no grant slips into a transaction that holds."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from app.kit.leases import BUCKETS, Holding, StaleFenceError, bucket_name, bucket_of, fenced, hold_share, let_go

NAMES = [bucket_name(number) for number in range(BUCKETS)]


async def expire(databases) -> None:
    connection = await asyncpg.connect(databases.urls.admin)
    await connection.execute("UPDATE leases SET expires_at = now() - interval '1 s'")
    await connection.execute("UPDATE workers SET seen_at = now() - interval '1 minute'")
    await connection.close()


async def test_a_lone_worker_holds_everything_and_two_share(fresh_databases) -> None:
    db = fresh_databases.worker
    assert len((await hold_share(db, "a", NAMES)).fences) == BUCKETS
    assert (await hold_share(db, "b", NAMES)).fences == {}
    first = await hold_share(db, "a", NAMES)
    second = await hold_share(db, "b", NAMES)
    assert len(first.fences) == len(second.fences) == BUCKETS // 2
    assert set(first.fences).isdisjoint(second.fences)


async def test_a_worker_that_stops_in_good_order_leaves_everything_at_once(fresh_databases) -> None:
    db = fresh_databases.worker
    await hold_share(db, "a", NAMES)
    await let_go(db, "a")
    assert len((await hold_share(db, "b", NAMES)).fences) == BUCKETS


async def test_each_grant_raises_the_fence_and_renewing_does_not(fresh_databases) -> None:
    db = fresh_databases.worker
    first = await hold_share(db, "a", NAMES)
    assert (await hold_share(db, "a", NAMES)).fences == first.fences
    await expire(fresh_databases)
    second = await hold_share(db, "b", NAMES)
    assert all(second.fences[name] > first.fences[name] for name in NAMES)


async def test_a_paused_worker_is_refused_when_it_wakes(fresh_databases) -> None:
    db = fresh_databases.worker
    asleep = await hold_share(db, "a", NAMES)
    await expire(fresh_databases)
    await hold_share(db, "b", NAMES)

    async def late() -> None:
        async with db.begin_unscoped() as session:
            await fenced(session, asleep, [bucket_name(3)])

    with pytest.raises(StaleFenceError):
        await late()


async def test_a_name_that_was_never_held_is_refused(fresh_databases) -> None:
    db = fresh_databases.worker

    async def without() -> None:
        async with db.begin_unscoped() as session:
            await fenced(session, Holding("a", {}), ["bucket:00"])

    with pytest.raises(StaleFenceError):
        await without()


async def test_no_grant_slips_into_a_transaction_under_its_fence(fresh_databases) -> None:
    db = fresh_databases.worker
    holding = await hold_share(db, "a", NAMES)
    await expire(fresh_databases)
    async with db.begin_unscoped() as session:
        await fenced(session, holding, [bucket_name(3)])
        other = await asyncio.wait_for(hold_share(db, "b", NAMES), timeout=20)
        assert set(NAMES) - set(other.fences) == {bucket_name(3)}
    assert bucket_name(3) in (await hold_share(db, "b", NAMES)).fences


def test_buckets_are_stable_and_spread() -> None:
    assert bucket_of("acct_01JZZZZZZZZZZZZZZZZZZZZZZZ") == bucket_of("acct_01JZZZZZZZZZZZZZZZZZZZZZZZ")
    assert {bucket_of(f"acct_{number}") for number in range(2000)} == set(range(BUCKETS))
