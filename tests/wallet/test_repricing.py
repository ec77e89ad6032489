"""A rate that changes: to the second, with an hour of the new one held."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import ledger, wallet
from app.kit.db import driver
from app.kit.money import cost
from app.ledger import invariants as ledger_invariants
from app.wallet import invariants as wallet_invariants

RATE, ASLEEP = 2_800_000, 4_000


@pytest.fixture
def reprice(worker_db):
    async def repricing(account, rental, *, rate, at):
        async with worker_db.begin_unscoped() as session:
            await wallet.change_rate(session, account_id=account, rental_id=rental, rate=rate, at=at)

    return repricing


@pytest.fixture
def sound(worker_db):
    async def asking(account):
        async with worker_db.begin_unscoped() as session:
            assert await wallet_invariants.broken_for(session, [account]) == []
            assert await ledger_invariants.broken_for(session, [account]) == []

    return asking


async def test_a_cheaper_rate_charges_what_ran_and_gives_back_what_is_held_beyond_an_hour(
    new_account, run_rental, reprice, look, view, sound, at
):
    account = await new_account(micros=10_000_000)
    rental = await run_rental(account, rate=RATE)
    changed = at + timedelta(seconds=100)
    await reprice(account, rental, rate=ASLEEP, at=changed)
    balance = await look(account, at=changed)
    assert (balance.reserved, balance.burn_per_hour, balance.accrued) == (ASLEEP, ASLEEP, 0)
    assert balance.total == 10_000_000 - cost(RATE, 100)
    later = changed + timedelta(seconds=1800)
    assert (await look(account, at=later)).accrued == cost(ASLEEP, 1800)
    meter = (await view(account, rental)).meter
    assert meter.funded_until >= changed + timedelta(hours=1)
    await sound(account)


async def test_a_bill_at_three_rates_is_the_sum_of_their_parts_and_each_line_proves_itself(
    worker_db, new_account, run_rental, reprice, settle_at, close_at, sound, at
):
    account = await new_account(micros=50_000_000)
    rental = await run_rental(account, rate=RATE)
    moments = [at + timedelta(seconds=seconds) for seconds in (101, 1808, 4000)]
    for rate, moment in zip((ASLEEP, 1_234_567), moments[:2], strict=True):
        await settle_at(account, rental, at=moment - timedelta(seconds=37))
        await reprice(account, rental, rate=rate, at=moment)
    settled = await close_at(account, rental, at=moments[2])
    assert settled.charged == cost(RATE, 101) + cost(ASLEEP, 1707) + cost(1_234_567, 2192)
    async with worker_db.begin_unscoped() as session:
        rows = await driver(session).fetch(
            "SELECT rate, from_s, to_s, base_s, amount FROM transfers WHERE rental_id = $1 AND kind = 'usage' ORDER BY seq",
            rental,
        )
        await ledger.seal(session, account_id=account, at=at)
        assert (await ledger.verify(session, account_id=account)).ok
    assert [row["base_s"] for row in rows] == [None, None, 101, 101, 1808]
    for rate, start, end, base, amount in rows:
        assert amount == cost(rate, end - (base or 0)) - cost(rate, start - (base or 0))
    await sound(account)


async def test_a_dearer_rate_needs_the_rest_of_an_hour_and_without_it_nothing_changes(
    new_account, run_rental, reprice, look, view, sound, at
):
    account = await new_account(micros=2_000_000)
    rental = await run_rental(account, rate=1_000_000)
    before, balance = (await view(account, rental)).meter, await look(account, at=at)
    changed = at + timedelta(seconds=36)
    with pytest.raises(wallet.InsufficientBalance) as refused:
        await reprice(account, rental, rate=2_000_001, at=changed)
    assert refused.value.extra == {"required": "1.010001", "available": "1.00", "shortfall": "0.010001"}
    assert ((await view(account, rental)).meter, await look(account, at=at)) == (before, balance)
    await reprice(account, rental, rate=1_990_000, at=changed)
    assert (await look(account, at=changed)).available == 0
    await sound(account)


async def test_what_is_owed_is_paid_first_from_what_comes_back(
    worker_db, new_account, run_rental, reprice, look, sound, at
):
    account = await new_account(micros=3_000_000)
    rental = await run_rental(account, rate=RATE)
    async with worker_db.begin_unscoped() as session:
        await wallet.claw_back(
            session, account_id=account, amount=1_000_000, reference="x", reason="x", actor="op", at=at
        )
    assert (await look(account, at=at)).owed == 800_000
    with pytest.raises(wallet.InsufficientBalance):
        await reprice(account, rental, rate=RATE + 1, at=at)
    await reprice(account, rental, rate=ASLEEP, at=at)
    balance = await look(account, at=at)
    assert (balance.owed, balance.available, balance.reserved) == (0, RATE - ASLEEP - 800_000, ASLEEP)
    await sound(account)


async def test_a_frozen_wallet_holds_no_more_and_gives_back_all_the_same(
    worker_db, new_account, run_rental, reprice, look, at
):
    account = await new_account(micros=10_000_000)
    rental = await run_rental(account, rate=RATE)
    async with worker_db.begin_unscoped() as session:
        await ledger.freeze(session, account_id=account, at=at)
    with pytest.raises(wallet.WalletLocked):
        await reprice(account, rental, rate=RATE + 1, at=at)
    await reprice(account, rental, rate=ASLEEP, at=at)
    assert (await look(account, at=at)).reserved == ASLEEP


async def test_going_back_and_forth_in_one_moment_moves_money_each_time(
    new_account, run_rental, reprice, look, sound, at
):
    account = await new_account(micros=10_000_000)
    rental = await run_rental(account, rate=RATE)
    for rate in (ASLEEP, RATE, ASLEEP, ASLEEP, RATE):
        await reprice(account, rental, rate=rate, at=at)
        assert (await look(account, at=at)).reserved == rate
    await sound(account)


async def test_a_hold_that_waits_is_held_anew_and_meters_only_from_its_start(
    worker_db, new_account, run_rental, reprice, look, sound, at
):
    account = await new_account(micros=10_000_000)
    rental = await run_rental(account, rate=RATE)
    changed = at + timedelta(seconds=100)
    async with worker_db.begin_unscoped() as session:
        await wallet.pause(session, account_id=account, rental_id=rental, at=changed)
    await reprice(account, rental, rate=ASLEEP, at=changed + timedelta(hours=9))
    later = changed + timedelta(hours=10)
    assert (await look(account, at=later)).total == 10_000_000 - cost(RATE, 100)
    async with worker_db.begin_unscoped() as session:
        await wallet.start(session, account_id=account, rental_id=rental, at=later)
    assert (await look(account, at=later + timedelta(seconds=900))).accrued == cost(ASLEEP, 900)
    await sound(account)


async def test_a_limit_of_spending_holds_across_rates(new_account, run_rental, reprice, settle_at, view, sound, at):
    account = await new_account(micros=10_000_000)
    rental = await run_rental(account, rate=1_000_000, max_spend=1_500_000)
    for minutes in range(10, 70, 10):
        await settle_at(account, rental, at=at + timedelta(minutes=minutes))
    hour = at + timedelta(hours=1)
    await reprice(account, rental, rate=2_000_000, at=hour)
    meter = (await view(account, rental)).meter
    assert (meter.charged, meter.held, meter.ends_because) == (1_000_000, 500_000, "max_spend")
    await sound(account)


async def test_a_refund_to_a_moment_before_the_present_rate_counts_each_second_at_its_own(
    worker_db, new_account, run_rental, reprice, close_at, sound, at
):
    account = await new_account(micros=10_000_000)
    rental = await run_rental(account, rate=RATE)
    await reprice(account, rental, rate=ASLEEP, at=at + timedelta(seconds=1000))
    await close_at(account, rental, at=at + timedelta(seconds=3000))
    async with worker_db.begin_unscoped() as session:
        given = await wallet.refund_host_fault(
            session,
            account_id=account,
            rental_id=rental,
            at=at + timedelta(seconds=3000),
            reason="host fault",
            good_until=at + timedelta(seconds=777),
        )
    assert given == cost(RATE, 1000) + cost(ASLEEP, 2000) - cost(RATE, 777)
    await sound(account)


async def test_a_closed_hold_has_no_other_rate(new_account, run_rental, reprice, close_at, at):
    account = await new_account(micros=10_000_000)
    rental = await run_rental(account, rate=RATE)
    await close_at(account, rental, at=at)
    with pytest.raises(LookupError):
        await reprice(account, rental, rate=ASLEEP, at=at)
