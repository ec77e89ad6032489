"""Settlement in the database: drains, renewals, months, pauses, refunds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app import ledger, wallet
from app.kit.db import driver
from app.kit.money import cost

RATE = 2_800_000


async def credit(db, account, amount, *, at, reference="more"):
    async with db.begin_unscoped() as session:
        return await wallet.credit_adjustment(
            session, account_id=account, amount=amount, reference=reference, reason="why", actor="op", at=at
        )


async def test_late_tick_bills_the_same_total(new_account, run_rental, settle_at, close_at, at):
    bills = []
    for ticks in ([], [10, 20, 30, 40, 50, 60, 70], [7 * 60 + 13]):
        account = await new_account(micros=40_000_000)
        rental = await run_rental(account)
        for minute in ticks:
            await settle_at(account, rental, at=at + timedelta(minutes=minute))
        bills.append((await close_at(account, rental, at=at + timedelta(hours=8, seconds=7))).charged)
    assert bills == [cost(RATE, 8 * 3600 + 7)] * 3


async def test_the_reserve_drains_when_available_can_not_refill_it(new_account, run_rental, settle_at, view, look, at):
    account = await new_account(micros=3_000_000)
    rental = await run_rental(account)
    await settle_at(account, rental, at=at + timedelta(minutes=10))
    meter = (await view(account, rental)).meter
    assert (await look(account, at=at)).available == 0
    assert meter.held == 3_000_000 - cost(RATE, 600)
    assert meter.ends_because == "wallet_empty"
    assert meter.funded_until == at + timedelta(seconds=3_000_001 * 3600 // RATE)
    assert meter.ends_at == meter.funded_until - timedelta(seconds=60)


async def test_an_inflow_renews_the_hold_that_ends_first(worker_db, new_account, run_rental, settle_at, view, at):
    account = await new_account(micros=2 * RATE + 600_000)
    late = await run_rental(account)
    early = await run_rental(account)
    now = at + timedelta(minutes=30)
    await settle_at(account, late, early, at=now)
    first, second = sorted([early, late], key=lambda r: r)
    missing = {r: RATE - (await view(account, r)).meter.held for r in (early, late)}
    ends = {r: (await view(account, r)).meter.funded_until for r in (early, late)}
    soonest = min((early, late), key=lambda r: (ends[r], r))
    other = second if soonest == first else first
    await credit(worker_db, account, missing[soonest] + 5, at=now)
    assert (await view(account, soonest)).meter.ends_at is None
    assert (await view(account, other)).meter.held == RATE - missing[other] + 5


async def test_money_that_comes_after_the_end_does_not_pay_for_what_ran_past_it(
    worker_db, new_account, run_rental, settle_at, close_at, look, at
):
    for settled_first in (False, True):
        account = await new_account(micros=RATE)
        rental = await run_rental(account)
        await settle_at(account, rental, at=at + timedelta(minutes=10))
        late = at + timedelta(seconds=3700)
        if settled_first:
            await settle_at(account, rental, at=late)
        await credit(worker_db, account, 10_000_000, at=late)
        stopped = await close_at(account, rental, at=late + timedelta(seconds=50))
        assert (stopped.billed_seconds, stopped.overrun_seconds) == (3650, 100)
        assert stopped.charged == cost(RATE, 3650)
        assert (await look(account, at=late)).available == 10_000_000 + RATE - cost(RATE, 3650)


async def test_settling_splits_usage_at_the_end_of_a_month(worker_db, new_account, run_rental, settle_at, close_at, at):
    account = await new_account(micros=40_000_000)
    begun = datetime(2026, 3, 31, 23, 56, tzinfo=UTC)
    april = datetime(2026, 4, 1, tzinfo=UTC)
    rental = await run_rental(account, started=begun)
    await settle_at(account, rental, at=begun + timedelta(minutes=10))
    await close_at(account, rental, at=begun + timedelta(minutes=14))
    async with worker_db.begin_unscoped() as session:
        rows = await driver(session).fetch(
            "SELECT sum(amount)::bigint AS amount, sum(to_s - from_s)::bigint AS seconds FROM transfers "
            "WHERE account_id = $1 AND kind = 'usage' GROUP BY effective_at < $2 ORDER BY effective_at < $2 DESC",
            account,
            april,
        )
    assert [tuple(row) for row in rows] == [
        (cost(RATE, 240), 240),
        (cost(RATE, 840) - cost(RATE, 240), 600),
    ]


async def test_the_end_of_a_month_makes_every_running_hold_due(worker_db, new_account, run_rental, settle_at):
    account = await new_account(micros=40_000_000)
    begun = datetime(2026, 3, 31, 23, 58, tzinfo=UTC)
    rental = await run_rental(account, started=begun)

    async def due(moment):
        async with worker_db.begin_unscoped() as session:
            found = await wallet.find_due(session, at=moment, slots=(0, 599), buckets=range(64), limit=10_000)
            return rental in [hold.rental_id for hold in found]

    assert not await due(begun + timedelta(seconds=119))
    assert await due(begun + timedelta(seconds=120))
    await settle_at(account, rental, at=begun + timedelta(seconds=120))
    assert not await due(begun + timedelta(seconds=130))


async def test_max_spend_caps_renewals_and_then_ends_the_rental(new_account, run_rental, settle_at, close_at, view, at):
    account = await new_account(micros=40_000_000)
    rental = await run_rental(account, max_spend=3_000_000)
    await settle_at(account, rental, at=at + timedelta(minutes=10))
    meter = (await view(account, rental)).meter
    assert (meter.charged + meter.held, meter.ends_because) == (3_000_000, "max_spend")
    stopped = await close_at(account, rental, at=at + timedelta(hours=3))
    assert stopped.charged <= 3_000_000 < cost(RATE, stopped.billed_seconds + 1)
    assert stopped.billed_seconds + stopped.overrun_seconds == 3 * 3600


async def test_a_pause_is_not_billed_and_the_hold_stays(worker_db, new_account, run_rental, close_at, look, at):
    account = await new_account(micros=10_000_000)
    rental = await run_rental(account)
    async with worker_db.begin_unscoped() as session:
        await wallet.pause(session, account_id=account, rental_id=rental, at=at + timedelta(seconds=100.9))
    assert (await look(account, at=at + timedelta(hours=2))).accrued == 0
    async with worker_db.begin_unscoped() as session:
        await wallet.start(session, account_id=account, rental_id=rental, at=at + timedelta(hours=2))
    # What is left of an hour after the first run was filled up again when the second began.
    assert (await look(account, at=at)).reserved == RATE
    stopped = await close_at(account, rental, at=at + timedelta(hours=2, seconds=50))
    assert stopped.charged == cost(RATE, 150)


async def test_a_start_that_failed_costs_nothing(worker_db, new_account, look, at):
    from app.kit.ids import RentalId

    account, rental = await new_account(micros=5_000_000), RentalId.new()
    async with worker_db.begin_unscoped() as session:
        await wallet.hold(session, account_id=account, rental_id=rental, rate=RATE, at=at, actor="test")
        stopped = await wallet.close(session, account_id=account, rental_id=rental, at=at, billable_until=at)
    assert (stopped.charged, stopped.released) == (0, RATE)
    assert (await look(account, at=at)).available == 5_000_000


async def test_a_host_that_failed_is_paid_back_once_in_full_or_after_its_last_good_moment(
    worker_db, new_account, run_rental, settle_at, close_at, look, at
):
    account = await new_account(micros=10_000_000)
    rental = await run_rental(account)
    await settle_at(account, rental, at=at + timedelta(seconds=600))
    await close_at(account, rental, at=at + timedelta(seconds=700), until=at + timedelta(seconds=500))

    async def refund(**terms):
        async with worker_db.begin_unscoped() as session:
            return await wallet.refund_host_fault(
                session, account_id=account, rental_id=rental, at=at, reason="host fault", **terms
            )

    assert await refund(good_until=at + timedelta(seconds=500)) == cost(RATE, 600) - cost(RATE, 500)
    assert await refund(good_until=at + timedelta(seconds=500)) == 0
    assert await refund() == cost(RATE, 500)
    assert await refund() == 0
    assert (await look(account, at=at)).available == 10_000_000


async def test_debt_is_paid_before_anything_becomes_available_and_stops_renewals(
    worker_db, new_account, run_rental, settle_at, close_at, look, view, at
):
    account = await new_account(micros=10_000_000)
    rental = await run_rental(account)

    async def claw_back():
        async with worker_db.begin_unscoped() as session:
            return await wallet.claw_back(
                session, account_id=account, amount=9_000_000, reference="r", reason="why", actor="card", at=at
            )

    assert await claw_back()
    assert not await claw_back()
    balance = await look(account, at=at)
    assert (balance.available, balance.owed, balance.reserved) == (0, 1_800_000, RATE)
    await settle_at(account, rental, at=at + timedelta(minutes=10))
    assert (await view(account, rental)).meter.held == RATE - cost(RATE, 600)
    assert await credit(worker_db, account, 800_000, at=at)
    assert not await credit(worker_db, account, 800_000, at=at)
    assert (await look(account, at=at)).owed == 1_000_000
    await close_at(account, rental, at=at + timedelta(minutes=10))
    balance = await look(account, at=at)
    assert (balance.available, balance.owed) == (RATE - cost(RATE, 600) - 1_000_000, 0)


async def test_a_credit_that_only_paid_debt_is_not_given_again_when_asked_twice(worker_db, new_account, look, at):
    account = await new_account(micros=1_000_000)
    async with worker_db.begin_unscoped() as session:
        await wallet.claw_back(
            session, account_id=account, amount=4_000_000, reference="r", reason="why", actor="card", at=at
        )
    assert await credit(worker_db, account, 3_000_000, at=at)
    assert not await credit(worker_db, account, 3_000_000, at=at)
    assert (await look(account, at=at)).total == 0
    with pytest.raises(ledger.KeyReusedError):
        await credit(worker_db, account, 2_000_000, at=at)


async def test_a_frozen_wallet_reserves_and_renews_nothing_until_it_is_let_go(
    worker_db, new_account, run_rental, settle_at, view, at
):
    account = await new_account(micros=10_000_000)
    rental = await run_rental(account)
    async with worker_db.begin_unscoped() as session:
        assert await ledger.freeze(session, account_id=account, at=at)
        assert not await ledger.freeze(session, account_id=account, at=at)
    with pytest.raises(wallet.WalletLocked):
        await run_rental(account)
    await settle_at(account, rental, at=at + timedelta(minutes=10))
    assert (await view(account, rental)).meter.held == RATE - cost(RATE, 600)
    async with worker_db.begin_unscoped() as session:
        await wallet.unfreeze(session, account_id=account, at=at + timedelta(minutes=11))
    assert (await view(account, rental)).meter.held == RATE


async def test_stopping_again_later_changes_nothing(worker_db, new_account, run_rental, close_at, at):
    account = await new_account(micros=10_000_000)
    rental = await run_rental(account)
    first = await close_at(account, rental, at=at + timedelta(seconds=100))

    async def rows():
        async with worker_db.begin_unscoped() as session:
            return [
                await driver(session).fetch(f"SELECT * FROM {table} WHERE account_id = $1", account)
                for table in ("holds", "transfers")
            ]

    before = await rows()
    again = await close_at(account, rental, at=at + timedelta(seconds=900))
    assert (again.charged, again.billed_seconds, again.at) == (first.charged, first.billed_seconds, first.at)
    assert again.released == 0
    assert await rows() == before
