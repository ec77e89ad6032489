"""Seals: what was changed behind our back is found."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from app import ledger
from app.kit.db import driver
from app.kit.leases import BUCKETS, Holding, bucket_name, bucket_of
from app.kit.reconcile import Round, Runner
from app.ledger import Kind, Movement, invariants
from app.ledger.reconcilers import auditing, sealing


@pytest.fixture
def grow(at):
    async def growing(db, account, count, name):
        async with db.begin_unscoped() as session:
            for n in range(count):
                await ledger.post(
                    session, Movement(account, Kind.DEPOSIT, 7 + n, f"{name}:{n}", at, description="=1+1")
                )

    return growing


@pytest.fixture
def tamper(own_databases):
    """Change history as an administrator who switches the triggers off."""

    async def tampering(statement, *args):
        connection = await asyncpg.connect(own_databases.urls.admin)
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL session_replication_role = replica")
                await connection.execute(statement, *args)
        finally:
            await connection.close()

    return tampering


async def seal(db, account, at):
    async with db.begin_unscoped() as session:
        return await ledger.seal(session, account_id=account, at=at)


async def verify(db, account):
    async with db.begin_unscoped() as session:
        return await ledger.verify(session, account_id=account)


@pytest.fixture
def db(own_databases):
    return own_databases.worker


async def test_a_chain_in_many_seals_is_the_chain_in_one(worker_db, new_account, grow, at):
    account = await new_account()
    for n in range(3):
        await grow(worker_db, account, 5, f"part {n}")
        assert await seal(worker_db, account, at) == 5
        assert await seal(worker_db, account, at) == 0
    assert await verify(worker_db, account) == ledger.Verified(15, 3, ok=True, first_bad_seq=None)
    await grow(worker_db, account, 1, "not sealed yet")
    assert await verify(worker_db, account) == ledger.Verified(16, 3, ok=True, first_bad_seq=None)


async def test_an_empty_ledger_is_sound(worker_db, account, at):
    assert await seal(worker_db, account, at) == 0
    assert await verify(worker_db, account) == ledger.Verified(0, 0, ok=True, first_bad_seq=None)


async def test_a_ledger_longer_than_one_read_is_sealed_and_verified(worker_db, new_account, grow, at):
    account = await new_account()
    await grow(worker_db, account, 2_001, "long")
    assert await seal(worker_db, account, at) == 2_001
    assert await verify(worker_db, account) == ledger.Verified(2_001, 1, ok=True, first_bad_seq=None)


@pytest.mark.parametrize(
    ("statement", "first_bad"),
    [
        ("UPDATE transfers SET description = 'another' WHERE account_id = $1 AND seq = 7", 6),
        ("UPDATE transfers SET actor = 'another' WHERE account_id = $1 AND seq = 3", 1),
        (
            "UPDATE transfers SET effective_at = effective_at + interval '1 microsecond' WHERE account_id = $1 AND seq = 9",
            6,
        ),
        ("UPDATE transfers SET idempotency_key = 'x' WHERE account_id = $1 AND seq = 1", 1),
        ("UPDATE transfers SET amount = amount + 1 WHERE account_id = $1 AND seq = 4", 4),
        ("UPDATE transfers SET available_after = available_after + 1 WHERE account_id = $1 AND seq = 8", 8),
        ("DELETE FROM transfers WHERE account_id = $1 AND seq = 2", 2),
        ("DELETE FROM transfers WHERE account_id = $1 AND seq > 8", 9),
        ("DELETE FROM ledger_seals WHERE account_id = $1 AND last_seq = 5", None),
    ],
)
async def test_what_was_changed_is_found(db, new_account, grow, tamper, at, statement, first_bad):
    account = await new_account(db=db)
    for n in range(2):
        await grow(db, account, 5, f"part {n}")
        await seal(db, account, at)
    await tamper(statement, account)
    found = await verify(db, account)
    assert (found.ok, found.first_bad_seq) == (first_bad is None, first_bad)


@pytest.fixture
async def this(db, at):
    names = [bucket_name(bucket) for bucket in range(BUCKETS)]
    async with db.begin_unscoped() as session:
        await driver(session).execute(
            "INSERT INTO leases (name, owner, fence, expires_at) SELECT name, 'me', 4, now() "
            "FROM unnest($1::text[]) AS n(name)",
            names,
        )
    return Round(at, Holding("me", dict.fromkeys(names, 4)))


class TestSealing:
    async def test_finds_and_skips(self, db, new_account, grow, this, at):
        fresh, done, empty = [await new_account(db=db) for _ in range(3)]
        for account in (fresh, done):
            await grow(db, account, 2, "some")
        await seal(db, done, at)
        assert await sealing(db).find(this, 100) == [fresh]
        assert empty not in await sealing(db).find(this, 100)
        elsewhere = replace(this, holding=Holding("me", {bucket_name((bucket_of(fresh) + 1) % BUCKETS): 4}))
        assert await sealing(db).find(elsewhere, 100) == []

    async def test_succeeds_and_runs_twice(self, db, new_account, grow, this):
        account = await new_account(db=db)
        await grow(db, account, 3, "some")
        reconciler = sealing(db)
        assert await Runner(reconciler).run_once(this) == {"sealed": 1}
        assert await Runner(reconciler).run_once(this) == {}
        assert await reconciler.step(this, account) == "nothing_to_seal"
        assert (await verify(db, account)).seals == 1

    async def test_two_workers_in_the_same_moment_leave_one_sound_chain(self, db, new_account, grow, this, at):
        account = await new_account(db=db)
        await grow(db, account, 30, "some")
        await asyncio.gather(*(seal(db, account, at) for _ in range(5)))
        assert await verify(db, account) == ledger.Verified(30, 1, ok=True, first_bad_seq=None)

    async def test_a_stale_fence_writes_nothing(self, db, new_account, grow, this):
        account = await new_account(db=db)
        await grow(db, account, 3, "some")
        late = replace(this, holding=Holding("me", dict.fromkeys(this.holding.fences, 3)))
        assert await Runner(sealing(db)).run_once(late) == {"stale_fence": 1}
        assert (await verify(db, account)).seals == 0


class TestAuditing:
    """The other scenes of an audit stand with the wallet's."""

    @pytest.mark.parametrize(
        ("statement", "names"),
        [
            (
                "UPDATE wallets SET available = available + 1 WHERE account_id = $1",
                {"wallet.is_not_its_fold", "ledger.conservation"},
            ),
            ("UPDATE wallets SET seq = seq + 1 WHERE account_id = $1", {"ledger.seq_is_not_the_wallets"}),
            ("UPDATE transfers SET available_after = 1 WHERE account_id = $1 AND seq = 2", {"ledger.after_is_wrong"}),
            ("UPDATE transfers SET kind = 'release' WHERE account_id = $1 AND seq = 2", {"ledger.unknown_entry"}),
            (
                "DELETE FROM transfers WHERE account_id = $1 AND seq = 1",
                {
                    "ledger.after_is_wrong",
                    "ledger.conservation",
                    "ledger.seq_has_a_gap",
                    "ledger.seq_is_not_the_wallets",
                    "wallet.is_not_its_fold",
                },
            ),
            (
                "UPDATE transfers SET credit = 'spend', kind = 'usage', rate = 3600, from_s = 0, to_s = 9 WHERE seq = 2 AND account_id = $1",
                {
                    "ledger.after_is_wrong",
                    "ledger.conservation",
                    "ledger.unknown_entry",
                    "usage.is_not_the_difference",
                    "wallet.is_not_its_fold",
                },
            ),
        ],
    )
    async def test_a_difference_freezes_the_wallet_and_no_other(
        self, db, new_account, grow, tamper, this, statement, names
    ):
        sick, sound = [await new_account(db=db) for _ in range(2)]
        for account in (sick, sound):
            await grow(db, account, 3, "some")
        assert (await Runner(auditing(db)).run_once(this))["agrees"] == BUCKETS
        await tamper(statement, sick)
        async with db.begin_unscoped() as session:
            assert {found.name for found in await invariants.broken(session, account_id=sick)} == names
            assert await invariants.broken(session, account_id=sound) == []
        for _ in range(2):
            assert (await Runner(auditing(db)).run_once(this))["differs"] == 1
        async with db.begin_unscoped() as session:
            wallets = await ledger.lock_wallets(session, [sick, sound])
        assert [wallets[account].frozen for account in (sick, sound)] == [True, False]

    async def test_every_wallet_with_a_difference_is_frozen_however_many_there_are(self, db, new_account, tamper, this):
        sick = [await new_account(db=db, micros=1_000) for _ in range(25)]
        await tamper("UPDATE wallets SET available = available + 1, bucket = 5")
        assert (await Runner(auditing(db)).run_once(this))["differs"] == 1
        async with db.begin_unscoped() as session:
            assert [
                name for name, wallet in (await ledger.lock_wallets(session, sick)).items() if not wallet.frozen
            ] == []
            for found in await invariants.broken(session):
                assert {case.account_id for case in found.sample} == set(sick)
