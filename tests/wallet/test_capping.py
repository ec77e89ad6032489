"""Caps: nothing is billed after the moment, however late whoever settles comes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import wallet
from app.kit.clock import whole_seconds
from app.kit.db import driver
from app.kit.money import cost
from app.ledger import invariants as ledger_invariants
from app.wallet import invariants as wallet_invariants
from app.wallet.settling import settled
from tests.wallet.test_meter import START, meter

RATE = 3_600_000
MINUTE = timedelta(minutes=1)
BECAUSE = "budget_exceeded"
moments = st.integers(0, 200_000_000).map(lambda ms: START + timedelta(milliseconds=ms))


@given(stop_by=moments, looks=st.lists(moments, max_size=6), end=moments)
def test_any_split_of_the_settlements_bills_a_capped_hold_the_same(stop_by, looks, end):
    running, available = meter(rate=RATE).capped(stop_by, BECAUSE, at=START), 10**12
    for at in [*sorted(look for look in looks if look < end), end]:
        step = settled([running], available=available, at=at)
        [running] = step.meters
        assert all(moved.at <= stop_by for moved in step.movements if moved.kind == "usage")
    assert running.charged == cost(RATE, whole_seconds(START, min(end, stop_by)))
    assert running.overrun_seconds == 0
    assert (running.ends_at, running.ends_because) == (stop_by, BECAUSE)


@given(first=moments, second=st.none() | moments, at=moments)
def test_a_cap_moves_until_it_has_passed_and_never_below_what_was_captured(first, second, at):
    [running] = settled([meter(rate=RATE).capped(first, BECAUSE, at=START)], available=10**9, at=at).meters
    moved = running.capped(second, None if second is None else BECAUSE, at=at)
    if first <= at:
        assert moved == running
    elif second is None:
        assert (moved.stop_by, moved.ends_at) == (None, None)
    else:
        assert moved.stop_by == max(second, at)
        assert moved.elapsed(at) == running.elapsed(at)


def test_whichever_ends_first_is_why_a_hold_ends():
    drained = meter(held=cost(2_800_000, 600))
    by_money = drained.capped(START + timedelta(seconds=541), BECAUSE, at=START)
    assert (by_money.ends_at, by_money.ends_because) == (START + timedelta(seconds=540), "wallet_empty")
    by_cap = drained.capped(START + timedelta(seconds=540), BECAUSE, at=START)
    assert (by_cap.ends_at, by_cap.ends_because) == (START + timedelta(seconds=540), BECAUSE)


@pytest.fixture
def cap(worker_db):
    async def capping(account, rental, *, at, stop_by):
        wanted = wallet.Cap(stop_by, BECAUSE) if stop_by else wallet.Cap()
        async with worker_db.begin_unscoped() as session:
            return await wallet.cap(session, {rental: wanted}, account_id=account, at=at)

    return capping


@pytest.fixture
async def sound(worker_db):
    async def asking(account):
        async with worker_db.begin_unscoped() as session:
            assert await wallet_invariants.broken_for(session, [account]) == []
            assert await ledger_invariants.broken_for(session, [account]) == []

    return asking


async def test_a_worker_that_slept_for_a_day_bills_no_second_after_the_cap(
    worker_db, new_account, run_rental, settle_at, cap, look, view, sound, at
):
    account = await new_account(micros=500_000_000)
    rental = await run_rental(account, rate=RATE)
    stop_by = at + timedelta(hours=2, seconds=7)
    assert await cap(account, rental, at=at, stop_by=stop_by) == 1
    day = at + timedelta(days=1)
    assert (await look(account, at=day)).accrued <= RATE
    await settle_at(account, rental, at=day)
    assert (await view(account, rental)).meter.charged == cost(RATE, 7207)
    assert (await look(account, at=day)).accrued == 0
    async with worker_db.begin_unscoped() as session:
        last = await driver(session).fetchval(
            "SELECT max(effective_at) FROM transfers WHERE rental_id = $1 AND kind = 'usage'", rental
        )
        ending = await wallet.find_ending(session, at=day, buckets=range(64), limit=1000)
    assert last <= stop_by
    assert [hold.because for hold in ending if hold.rental_id == rental] == [BECAUSE]
    await sound(account)


async def test_what_a_wallet_shows_of_a_capped_hold_stands_still_after_the_cap(new_account, run_rental, cap, look, at):
    account = await new_account(micros=50_000_000)
    rental = await run_rental(account, rate=RATE)
    await cap(account, rental, at=at, stop_by=at + 10 * MINUTE)
    shown = [(await look(account, at=at + n * MINUTE)).accrued for n in (9, 10, 11, 50)]
    assert shown == [cost(RATE, 540), cost(RATE, 600), cost(RATE, 600), cost(RATE, 600)]


async def test_a_cap_that_has_passed_does_not_move(new_account, run_rental, cap, view, close_at, sound, at):
    account = await new_account(micros=50_000_000)
    rental = await run_rental(account, rate=RATE)
    await cap(account, rental, at=at, stop_by=at + MINUTE)
    assert await cap(account, rental, at=at + 2 * MINUTE, stop_by=None) == 0
    assert await cap(account, rental, at=at + 2 * MINUTE, stop_by=at + 9 * MINUTE) == 0
    settled_in_the_end = await close_at(account, rental, at=at + 3 * MINUTE)
    assert (settled_in_the_end.billed_seconds, settled_in_the_end.charged) == (60, cost(RATE, 60))
    await sound(account)


async def test_an_interruption_takes_the_cap_with_it(worker_db, new_account, run_rental, cap, view, sound, at):
    account = await new_account(micros=50_000_000)
    rental = await run_rental(account, rate=RATE)
    await cap(account, rental, at=at, stop_by=at + MINUTE)
    async with worker_db.begin_unscoped() as session:
        await wallet.pause(session, account_id=account, rental_id=rental, at=at + 5 * MINUTE)
    meter_now = (await view(account, rental)).meter
    assert (meter_now.stop_by, meter_now.base_seconds, meter_now.charged) == (None, 60, cost(RATE, 60))
    await sound(account)


async def test_the_last_billable_moment_is_the_cap_once_it_has_passed(worker_db, new_account, run_rental, cap, at):
    account = await new_account(micros=50_000_000)
    rental = await run_rental(account, rate=RATE)
    await cap(account, rental, at=at, stop_by=at + MINUTE)

    async def last(moment: datetime) -> datetime:
        async with worker_db.begin_unscoped() as session:
            return await wallet.last_billable(session, account_id=account, rental_id=rental, at=moment)

    assert [await last(at), await last(at + 2 * MINUTE)] == [at, at + MINUTE]


async def test_a_capped_rental_is_told_of_its_end_beforehand(
    worker_db, new_account, run_rental, settle_at, cap, told, at
):
    account = await new_account(micros=50_000_000)
    rental = await run_rental(account, rate=RATE)
    await cap(account, rental, at=at, stop_by=at + 40 * MINUTE)

    async def warn(moment: datetime) -> None:
        async with worker_db.begin_unscoped() as session:
            low = await wallet.ending.find_low(session, at=moment, buckets=range(64), limit=1000)
            for hold in low:
                if hold.rental_id == rental:
                    await wallet.ending.warn(session, hold, at=moment)

    for minutes in (5, 11, 12, 31, 39):
        await settle_at(account, rental, at=at + minutes * MINUTE)
        await warn(at + minutes * MINUTE)
    low = [data for kind, data in await told(account) if kind == "rental.runway_low"]
    assert [(data["minutes"], data["because"]) for data in low] == [(30, BECAUSE), (10, BECAUSE), (2, BECAUSE)]


async def test_a_drained_hold_that_is_capped_is_renewed_when_money_comes(
    worker_db, new_account, run_rental, settle_at, cap, view, sound, at
):
    account = await new_account(micros=RATE)
    rental = await run_rental(account, rate=RATE)
    await cap(account, rental, at=at, stop_by=at + 20 * MINUTE)
    await settle_at(account, rental, at=at + 10 * MINUTE)
    assert (await view(account, rental)).meter.held < RATE
    async with worker_db.begin_unscoped() as session:
        await wallet.credit_adjustment(
            session, account_id=account, amount=10**7, reference="more", reason="why", actor="op", at=at + 11 * MINUTE
        )
    assert (await view(account, rental)).meter.held == RATE
    await sound(account)
