"""Many at once: starts for the last money, workers on the same rows, an inflow beside a stop."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app import wallet
from app.kit.db import driver
from app.kit.ids import RentalId
from app.kit.leases import StaleFenceError, bucket_name, bucket_of, fenced
from app.kit.money import cost

RATE = 2_800_000


@pytest.mark.parametrize(("starts", "money_for"), [(10, 1), (20, 7), (5, 5), (8, 0)])
async def test_of_many_starts_at_once_exactly_as_many_succeed_as_there_is_money_for(
    worker_db, new_account, look, at, starts, money_for
):
    account = await new_account(micros=money_for * RATE + RATE - 1)

    async def begin(rental):
        async with worker_db.begin_unscoped() as session:
            await wallet.hold(session, account_id=account, rental_id=rental, rate=RATE, at=at, actor="test")

    answers = await asyncio.gather(*(begin(RentalId.new()) for _ in range(starts)), return_exceptions=True)
    assert answers.count(None) == money_for
    assert sum(isinstance(answer, wallet.InsufficientBalance) for answer in answers) == starts - money_for
    balance = await look(account, at=at)
    assert (balance.available, balance.reserved) == (RATE - 1, money_for * RATE)


async def test_workers_that_settle_the_same_rows_capture_each_second_once(
    worker_db, new_account, run_rental, settle_at, view, at
):
    accounts = [await new_account(micros=20_000_000) for _ in range(4)]
    rentals = {account: [await run_rental(account) for _ in range(3)] for account in accounts}
    due = [wallet.Due(a, r, bucket_of(a)) for a in accounts for r in rentals[a]]

    async def settle(order, seconds):
        async with worker_db.begin_unscoped() as session:
            await wallet.settle(session, order, at=at + timedelta(seconds=seconds))

    await asyncio.gather(*(settle(due if n % 2 else due[::-1], 600 + n % 3) for n in range(10)))
    for account in accounts:
        for rental in rentals[account]:
            meter = (await view(account, rental)).meter
            assert (meter.charged, meter.held) == (cost(RATE, 602), RATE)


async def test_workers_that_settle_different_rows_share_the_last_money(
    worker_db, new_account, run_rental, settle_at, look, view, at
):
    used = cost(RATE, 600)
    for _ in range(5):
        account = await new_account(micros=6 * RATE + 2 * used + 5)
        rentals = [await run_rental(account) for _ in range(6)]
        await asyncio.gather(*(settle_at(account, one, at=at + timedelta(seconds=600)) for one in rentals))
        held = sorted([(await view(account, one)).meter.held for one in rentals])
        assert held == [RATE - used] * 3 + [RATE - used + 5] + [RATE] * 2
        assert (await look(account, at=at)).available == 0


async def test_everything_at_once_ends_in_sound_books(worker_db, new_account, run_rental, look, at):
    account = await new_account(micros=6 * RATE)
    rentals = [await run_rental(account) for _ in range(3)]
    due = [wallet.Due(account, rental, bucket_of(account)) for rental in rentals]
    later = at + timedelta(minutes=20)

    def credit(n):
        return lambda s: wallet.credit_adjustment(
            s, account_id=account, amount=1_000, reference=str(n % 3), reason="why", actor="op", at=later
        )

    def stop(n):
        return lambda s: wallet.close(s, account_id=account, rental_id=rentals[n % 2], at=later, billable_until=later)

    def take(n):
        return lambda s: wallet.claw_back(
            s, account_id=account, amount=500, reference=str(n % 2), reason="why", actor="op", at=later
        )

    def settle(_n):
        return lambda s: wallet.settle(s, due, at=later)

    await asyncio.gather(*(worker_db.run(act(n)) for n in range(6) for act in (credit, stop, take, settle)))
    balance = await look(account, at=later)
    assert balance.total == 6 * RATE + 3 * 1_000 - 2 * 500 - 3 * cost(RATE, 1200)
    assert balance.reserved == RATE


async def test_a_worker_whose_lease_was_granted_away_while_it_waited_is_refused(
    worker_db, new_account, run_rental, holding, view, at
):
    account = await new_account(micros=10_000_000)
    rental = await run_rental(account)
    name = bucket_name(bucket_of(account))
    async with worker_db.begin_unscoped() as session:
        await driver(session).execute("UPDATE leases SET owner = 'another', fence = fence + 1 WHERE name = $1", name)

    async def work(session):
        await fenced(session, holding, [name])
        await wallet.settle(session, [wallet.Due(account, rental, 0)], at=at + timedelta(minutes=10))

    with pytest.raises(StaleFenceError):
        await worker_db.run(work)
    assert (await view(account, rental)).meter.charged == 0
