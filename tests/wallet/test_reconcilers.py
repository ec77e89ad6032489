"""The five scenes of metering, warnings and auditing, and that one broken account stops nobody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import asyncpg
import pytest

from app import wallet
from app.kit.db import driver
from app.kit.ids import RentalId
from app.kit.leases import BUCKETS, Holding, bucket_name, bucket_of
from app.kit.money import cost
from app.kit.reconcile import Round, Runner
from app.wallet import invariants
from app.wallet.reconcilers import BATCH_MAX, Batch, _batches, auditing, metering, warnings
from app.wallet.renewing import Due

RATE = 2_800_000
MINUTE = timedelta(minutes=1)


@pytest.fixture
def rounds(holding):
    def at_moment(at, holding=holding):
        return Round(at, holding)

    return at_moment


@pytest.fixture
def stale(holding):
    """The same worker, after its leases were granted to another one and back."""
    return replace(holding, fences={name: fence - 1 for name, fence in holding.fences.items()})


async def tables_of(db, account):
    async with db.begin_unscoped() as session:
        return [
            await driver(session).fetch(f"SELECT * FROM {table} WHERE account_id = $1 ORDER BY 1, 2", account)
            for table in ("wallets", "transfers", "holds", "events")
        ]


async def spoil(databases, statement, *args):
    """Change a table behind the rooms' backs, as the administrator."""
    connection = await asyncpg.connect(databases.urls.admin)
    try:
        await connection.execute(statement, *args)
    finally:
        await connection.close()


async def hold_all(db, owner):
    """Let one worker hold every bucket, under fence 7."""
    names = [bucket_name(bucket) for bucket in range(BUCKETS)]
    async with db.begin_unscoped() as session:
        await driver(session).execute(
            "INSERT INTO leases (name, owner, fence, expires_at) SELECT name, $1, 7, now() FROM unnest($2::text[]) AS n(name)",
            owner,
            names,
        )
    return Holding(owner, dict.fromkeys(names, 7))


class TestMetering:
    async def test_finds_what_runs_and_is_due(self, worker_db, new_account, run_rental, rounds, at):
        account = await new_account(micros=10_000_000)
        rental = await run_rental(account)
        found = await metering(worker_db).find(rounds(at + 10 * MINUTE), 100_000)
        assert rental in [due.rental_id for batch in found for due in batch.due]

    async def test_skips_what_was_settled_is_paused_or_is_anothers(
        self, worker_db, new_account, run_rental, close_at, rounds, at
    ):
        account = await new_account(micros=10_000_000)
        rental, closed = await run_rental(account), await run_rental(account)
        await close_at(account, closed, at=at + MINUTE)

        async def found(this):
            batches = await metering(worker_db).find(this, 100_000)
            return [due.rental_id for batch in batches for due in batch.due]

        assert rental not in await found(rounds(at + 5 * MINUTE))
        later = await found(rounds(at + 10 * MINUTE))
        assert rental in later
        assert closed not in later
        others = {bucket_name(b): 1 for b in range(BUCKETS) if b != bucket_of(account)}
        assert rental not in await found(rounds(at + 10 * MINUTE, Holding("another", others)))

    async def test_succeeds(self, worker_db, new_account, run_rental, rounds, view, at):
        account = await new_account(micros=10_000_000)
        rental = await run_rental(account)
        this = rounds(at + 10 * MINUTE)
        outcomes = await Runner(metering(worker_db)).run_once(this)
        assert outcomes["settled"] >= 1
        assert (await view(account, rental)).meter.charged == cost(RATE, 600)

    async def test_a_stale_fence_writes_nothing(self, worker_db, new_account, run_rental, rounds, stale, at):
        account = await new_account(micros=10_000_000)
        await run_rental(account)
        before = await tables_of(worker_db, account)
        outcomes = await Runner(metering(worker_db)).run_once(rounds(at + 10 * MINUTE, stale))
        assert set(outcomes) == {"stale_fence"}
        assert await tables_of(worker_db, account) == before

    async def test_twice_is_harmless(self, worker_db, new_account, run_rental, rounds, at):
        account = await new_account(micros=10_000_000)
        rental = await run_rental(account)
        reconciler, this = metering(worker_db), rounds(at + 10 * MINUTE)
        batch = Batch((Due(account, rental, bucket_of(account)),))
        assert await reconciler.step(this, batch) == "settled"
        before = await tables_of(worker_db, account)
        assert await reconciler.step(this, batch) == "settled"
        assert await tables_of(worker_db, account) == before

    async def test_one_broken_account_does_not_stop_the_others(self, own_databases, new_account, at):
        db, moment = own_databases.worker, at + 10 * MINUTE
        rentals = {}
        for _ in range(7):
            account = await new_account(micros=10_000_000, db=db)
            async with db.begin_unscoped() as session:
                rentals[account] = RentalId.new()
                terms = {"account_id": account, "rental_id": rentals[account], "at": at}
                await wallet.hold(session, rate=RATE, actor="test", **terms)
                await wallet.start(session, **terms)
        sick = sorted(rentals)[3]
        await spoil(own_databases, "UPDATE wallets SET reserved = 0 WHERE account_id = $1", sick)
        reconciler = metering(db)
        runner = Runner(reconciler)
        this = Round(moment, await hold_all(db, "worker"))
        assert await runner.run_once(this) == {"settled_in_part": 1}

        async def charged():
            async with db.begin_unscoped() as session:
                rows = await driver(session).fetch("SELECT account_id, charged FROM holds")
                return {row["account_id"]: row["charged"] for row in rows}

        assert await charged() == {account: 0 if account == sick else cost(RATE, 600) for account in rentals}
        # It is tried again, alone, and settled as soon as it can be.
        this = replace(this, at=moment + timedelta(seconds=5))
        assert await runner.run_once(this) == {"failed": 1}
        await spoil(own_databases, "UPDATE wallets SET reserved = $2 WHERE account_id = $1", sick, RATE)
        assert await Runner(reconciler).run_once(this) == {"settled": 1}
        assert (await charged())[sick] == cost(RATE, 605)
        assert await Runner(reconciler).run_once(this) == {}

    async def test_a_look_takes_the_slots_that_passed_and_no_more(self, worker_db, new_account, run_rental, rounds, at):
        account = await new_account(micros=40_000_000)
        early = await run_rental(account, started=at + timedelta(seconds=595))
        late = await run_rental(account, started=at + timedelta(seconds=603))
        reconciler = metering(worker_db)

        async def found(moment):
            batches = await reconciler.find(rounds(moment), 100_000)
            return {due.rental_id for batch in batches for due in batch.due} & {early, late}

        start = at + timedelta(seconds=1160)
        assert await found(start) == set()  # the full circle, but nothing of ours is ten minutes old yet
        assert await found(at + timedelta(seconds=1194)) == set()
        assert await found(at + timedelta(seconds=1200)) == {early}
        assert await found(at + timedelta(seconds=1206)) == {late}


class TestWarnings:
    @pytest.fixture
    async def drained(self, new_account, run_rental, settle_at, at):
        """A rental whose money ends an hour after it began."""
        account = await new_account(micros=RATE)
        rental = await run_rental(account)
        await settle_at(account, rental, at=at + 10 * MINUTE)
        return account, rental

    async def warn(self, db, this, account):
        reconciler = warnings(db)
        found = [low for low in await reconciler.find(this, 100_000) if low.account_id == account]
        return [await reconciler.step(this, low) for low in found]

    async def test_finds_skips_succeeds_and_runs_twice(self, worker_db, drained, rounds, told, at):
        account, rental = drained
        outcomes = [
            await self.warn(worker_db, rounds(at + minute * MINUTE), account)
            for minute in (29, 30, 31, 40, 49, 50, 57, 58, 58, 59)
        ]
        assert outcomes == [[], ["warned_30"], [], [], [], ["warned_10"], [], ["warned_2"], [], []]
        low = [data for kind, data in await told(account) if kind == "rental.runway_low"]
        assert [(data["minutes"], data["rental_id"]) for data in low] == [(30, rental), (10, rental), (2, rental)]
        assert low[0]["funded_until"] == "2026-03-01T13:00:00.000Z"

    async def test_one_that_comes_late_tells_only_the_nearest(self, worker_db, drained, rounds, at):
        account, _ = drained
        assert await self.warn(worker_db, rounds(at + 55 * MINUTE), account) == ["warned_10"]
        assert await self.warn(worker_db, rounds(at + 55 * MINUTE), account) == []

    async def test_a_renewal_in_part_arms_what_lies_below_again(self, worker_db, drained, rounds, settle_at, at):
        account, rental = drained
        await settle_at(account, rental, at=at + 52 * MINUTE)
        assert await self.warn(worker_db, rounds(at + 52 * MINUTE), account) == ["warned_10"]
        async with worker_db.begin_unscoped() as session:
            await wallet.credit_adjustment(
                session,
                account_id=account,
                amount=cost(RATE, 600),
                reference="a little",
                reason="why",
                actor="op",
                at=at + 52 * MINUTE,
            )
        assert await self.warn(worker_db, rounds(at + 53 * MINUTE), account) == []
        assert await self.warn(worker_db, rounds(at + 60 * MINUTE), account) == ["warned_10"]

    async def test_a_stale_fence_writes_nothing(self, worker_db, drained, rounds, stale, at):
        account, _ = drained
        before = await tables_of(worker_db, account)
        outcomes = await Runner(warnings(worker_db)).run_once(rounds(at + 45 * MINUTE, stale))
        assert set(outcomes) == {"stale_fence"}
        assert await tables_of(worker_db, account) == before

    async def test_a_hold_that_was_renewed_meanwhile_is_passed_over(self, worker_db, drained, rounds, at):
        account, _ = drained
        reconciler, this = warnings(worker_db), rounds(at + 45 * MINUTE)
        [low] = [low for low in await reconciler.find(this, 100_000) if low.account_id == account]
        async with worker_db.begin_unscoped() as session:
            await wallet.credit_adjustment(
                session, account_id=account, amount=RATE, reference="in time", reason="why", actor="op", at=this.at
            )
        assert await reconciler.step(this, low) == "passed_over"


async def test_holds_that_must_be_stopped_are_found_a_minute_before_their_money_ends(
    worker_db, new_account, run_rental, settle_at, at
):
    account = await new_account(micros=RATE)
    rental = await run_rental(account)
    await settle_at(account, rental, at=at + 10 * MINUTE)

    async def ending(moment):
        async with worker_db.begin_unscoped() as session:
            found = await wallet.find_ending(session, at=moment, buckets=range(BUCKETS), limit=100_000)
            return [(hold.rental_id, hold.because) for hold in found if hold.account_id == account]

    assert await ending(at + 59 * MINUTE - timedelta(seconds=1)) == []
    assert await ending(at + 59 * MINUTE) == [(rental, "wallet_empty")]


class TestAuditing:
    async def test_finds_the_buckets_it_holds(self, worker_db, rounds, holding, at):
        found = await auditing(worker_db).find(rounds(at), 64)
        assert [item.bucket for item in found] == holding.buckets
        assert await auditing(worker_db).find(rounds(at, Holding("nobody", {})), 64) == []

    async def test_freezes_what_differs_and_leaves_alone_what_agrees(self, own_databases, new_account, at):
        db = own_databases.worker
        sound, sick = [await new_account(micros=10_000_000, db=db) for _ in range(2)]
        for account in (sound, sick):
            async with db.begin_unscoped() as session:
                await wallet.hold(session, account_id=account, rental_id=RentalId.new(), rate=RATE, at=at, actor="test")
        await spoil(own_databases, "UPDATE holds SET held = held - 1 WHERE account_id = $1", sick)
        this = Round(at, await hold_all(db, "worker"))

        async def frozen():
            async with db.begin_unscoped() as session:
                rows = await driver(session).fetch("SELECT account_id FROM wallets WHERE frozen_at IS NOT NULL")
                return [row["account_id"] for row in rows]

        late = replace(this.holding, fences={name: fence - 1 for name, fence in this.holding.fences.items()})
        outcomes = await Runner(auditing(db)).run_once(Round(at, late))
        assert outcomes["stale_fence"] == 1
        assert await frozen() == []
        for _ in range(2):
            outcomes = await Runner(auditing(db)).run_once(this)
            assert (outcomes["differs"], outcomes["agrees"]) == (1, BUCKETS - 1)
            assert await frozen() == [sick]
        async with db.begin_unscoped() as session:
            assert await invariants.broken(session, account_id=sound) == []
            assert {found.name for found in await invariants.broken(session)} == {
                "wallet.reserved_is_not_its_holds",
                "hold.differs_from_the_ledger",
            }


def test_batches_part_no_account_unless_it_alone_has_too_many():
    def due(*sizes):
        return [Due(f"acct_{n:03}", RentalId.new(), 0) for n, size in enumerate(sizes) for _ in range(size)]

    for sizes in ((1,), (600, 600), (999, 1, 1), (2_500, 3), (400, 400, 400, 400), (1_000, 1_000)):
        holds = due(*sizes)
        batches = _batches(holds)
        assert [hold for batch in batches for hold in batch.due] == holds
        assert all(len(batch.due) <= BATCH_MAX for batch in batches)
        for one, other in pairwise(batches):
            parted = one.due[-1].account_id == other.due[0].account_id
            assert not parted or sizes[int(other.due[0].account_id[5:])] > BATCH_MAX
    assert _batches([]) == []
