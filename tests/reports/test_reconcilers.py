"""The five scenes of counting and auditing, and that what is wrong is counted again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app.kit.db import driver
from app.kit.leases import BUCKETS, Holding, bucket_name, bucket_of
from app.kit.reconcile import Round, Runner
from app.reports import Grouping, Sight, counting, sum_spending
from app.reports.invariants import broken_for
from app.reports.reconcilers import auditing
from app.reports.reconcilers import counting as counting_reconciler
from app.reports.spending import Days
from tests.reports.ground import day

NOON = day("2026-03-01", hours=12)
HOUR = timedelta(hours=1)


@pytest.fixture
async def holding(worker_db):
    """One worker that holds every bucket."""
    names = [bucket_name(bucket) for bucket in range(BUCKETS)]
    async with worker_db.begin_unscoped() as session:
        await driver(session).execute(
            "INSERT INTO leases (name, owner, fence, expires_at) SELECT name, 'reports', 7, now() "
            "FROM unnest($1::text[]) AS n(name) ON CONFLICT (name) DO UPDATE SET owner = 'reports', fence = 7",
            names,
        )
    return Holding("reports", dict.fromkeys(names, 7))


@pytest.fixture
async def used(books):
    """An account with half an hour of use, settled three times."""
    ran = await books.rent(NOON)
    await books.start(ran, NOON)
    for part in (1, 2, 3):
        await books.settle(ran, NOON + part * timedelta(minutes=10))
    return books


async def stand(books):
    """Return the account's sums, and up to where it is counted."""
    async with books.db.begin_unscoped() as session:
        rows = await driver(session).fetch("SELECT * FROM report_spend WHERE account_id = $1", books.account)
        seq = await driver(session).fetchval("SELECT seq FROM report_counted WHERE account_id = $1", books.account)
    return [dict(row) for row in rows], seq


async def found(books, this):
    return [one for group in await counting_reconciler(books.db).find(this, 1000) for one in group.account_ids]


async def test_counting_finds_what_was_never_counted_and_skips_the_rest(used, holding):
    this = Round(NOON, holding)
    assert used.account in await found(used, this)
    others = Holding("another", {bucket_name(b): 1 for b in range(BUCKETS) if b != bucket_of(used.account)})
    assert used.account not in await found(used, Round(NOON, others))
    await used.count(NOON)
    assert used.account not in await found(used, Round(NOON + 2 * HOUR, holding))


async def test_a_little_more_waits_for_an_hour_and_much_more_does_not(used, holding):
    await used.count(NOON)
    await used.settle(used.rentals[0], NOON + timedelta(minutes=40))
    assert used.account not in await found(used, Round(NOON + timedelta(minutes=59), holding))
    assert used.account in await found(used, Round(NOON + HOUR, holding))
    for minute in range(counting.TAIL_MAX // 2):
        await used.settle(used.rentals[0], NOON + timedelta(minutes=41, seconds=minute + 1))
    assert used.account in await found(used, Round(NOON + timedelta(minutes=1), holding))


async def test_counting_succeeds_and_twice_is_harmless(used, holding):
    reconciler, this = counting_reconciler(used.db), Round(NOON, holding)
    [group] = [one for one in await reconciler.find(this, 1000) if used.account in one.account_ids]
    assert await reconciler.step(this, group) == "counted"
    after = await stand(used)
    assert [(row["charged"], row["seconds"]) for row in after[0]] == [(1_800_000, 1_800)]
    assert await reconciler.step(this, group) == "nothing_to_count"
    assert await stand(used) == after


async def test_a_stale_fence_counts_nothing(used, holding):
    stale = replace(holding, fences={name: fence - 1 for name, fence in holding.fences.items()})
    outcomes = await Runner(counting_reconciler(used.db)).run_once(Round(NOON, stale))
    assert set(outcomes) == {"stale_fence"}
    assert await stand(used) == ([], None)


async def test_what_is_far_behind_is_counted_in_parts(used, holding):
    """The most that one transaction counts is not passed, and what is left is found again."""
    async with used.db.begin_unscoped() as session:
        posted = await driver(session).fetchval("SELECT seq FROM wallets WHERE account_id = $1", used.account)
    rows = [{"account_id": name, "seq": 5, "posted_seq": seq} for name, seq in (("a", 20_000), ("b", 9), ("c", 9))]
    assert counting._due(rows) == [("a", 5, 20_000), ("b", 5, 9), ("c", 5, 6)]
    assert counting._due([{"account_id": "a", "seq": 5, "posted_seq": 90_000}]) == [("a", 5, 20_005)]
    assert await used.count(NOON) == posted


async def test_auditing_counts_again_what_is_wrong_and_leaves_the_rest(used, holding, worker_db):
    await used.count(NOON)
    before = await stand(used)
    reconciler, this = auditing(worker_db), Round(NOON, holding)
    [bucket] = [item for item in await reconciler.find(this, 100) if item.bucket == bucket_of(used.account)]
    assert await reconciler.step(this, bucket) == "agrees"
    assert await stand(used) == before
    async with worker_db.begin_unscoped() as session:
        await driver(session).execute(
            "UPDATE report_spend SET charged = charged + 1 WHERE account_id = $1", used.account
        )
    async with worker_db.begin_unscoped() as session:
        [broken] = await broken_for(session, [used.account])
    assert broken.name == "reports.sums_are_not_the_ledgers"
    stale = replace(holding, fences=dict.fromkeys(holding.fences, 6))
    assert set(await Runner(auditing(worker_db)).run_once(Round(NOON, stale))) <= {"stale_fence", "agrees"}
    assert (await stand(used))[0] != before[0]
    assert await reconciler.step(this, bucket) == "counted_again"
    assert await stand(used) == ([], 0)
    days = Days(NOON.date(), NOON.date() + timedelta(days=1))
    async with worker_db.begin_unscoped() as session:
        told = await sum_spending(session, Sight(used.account, None), days, by=Grouping.DAY)
    assert told.total.charged == 1_800_000
    assert used.account in await found(used, this)
    await used.count(NOON)
    assert await stand(used) == before
    assert await reconciler.step(this, bucket) == "agrees"
