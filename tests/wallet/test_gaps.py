"""Rentals whose machine is taken back, again and again: whatever was settled before it was noticed, gaps cost nothing."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from app import wallet
from app.kit.ids import RentalId
from app.kit.money import cost


@pytest.mark.parametrize("seed", range(24))
async def test_exactly_the_usable_seconds_are_charged_in_the_end(
    seed: int, worker_db: Any, new_account: Any, at: Any
) -> None:
    draw = random.Random(seed)
    rate = draw.choice([1, 7, 999, 350_000, 2_799_999, 12_000_000])
    scarce = seed % 3 == 0
    account = await new_account(micros=rate + (draw.randrange(rate + 1) if scarce else 100 * rate))
    rental, now, usable = RentalId.new(), at, 0
    names: dict[str, Any] = {"account_id": account, "rental_id": rental}

    async def settle() -> None:
        async with worker_db.begin_unscoped() as session:
            await wallet.settle(session, [wallet.Due(account, rental, 0)], at=now)

    async with worker_db.begin_unscoped() as session:
        await wallet.hold(session, **names, rate=rate, at=now, actor="test")
    runs = draw.randrange(1, 5)
    for number in range(runs):
        async with worker_db.begin_unscoped() as session:
            await wallet.start(session, **names, at=now)
        began = now
        for _ in range(draw.randrange(4)):
            now += timedelta(seconds=draw.randrange(1, 700), microseconds=draw.randrange(10**6))
            await settle()
        pulse = began + (now - began) * draw.randrange(101) / 100
        if draw.random() < 0.3:
            now += timedelta(seconds=draw.randrange(120))
        last = number == runs - 1
        if last and draw.random() < 0.5:
            pulse = now
            break
        async with worker_db.begin_unscoped() as session:
            await wallet.pause(session, **names, at=now, billable_until=pulse)
        usable += int((pulse - began) / timedelta(seconds=1))
        now += timedelta(seconds=draw.randrange(3600))
        began = pulse = now
    async with worker_db.begin_unscoped() as session:
        settled = await wallet.close(session, **names, at=now, billable_until=pulse)
        refunded = await wallet.refund_host_fault(session, **names, at=now, reason="it was gone", good_until=pulse)
    usable += int((pulse - began) / timedelta(seconds=1))

    assert settled.charged - refunded <= cost(rate, usable)
    if not settled.overrun_seconds:
        assert settled.charged - refunded == cost(rate, usable)
    async with worker_db.begin_unscoped() as session:
        balance = await wallet.get_balance(session, account_id=account, at=now)
    assert balance.reserved == 0
    assert balance.available >= 0


@pytest.mark.parametrize("seed", range(24))
async def test_what_was_given_back_stays_given_back_whatever_rate_follows(
    seed: int, worker_db: Any, new_account: Any, at: Any
) -> None:
    draw = random.Random(seed)
    rate = draw.choice([999, 350_000, 2_799_999, 12_000_000])
    asleep = rate // draw.choice([2, 7, 50])
    account = await new_account(micros=100 * rate)
    rental, now, stretches, given = RentalId.new(), at, list[list[int]](), list[int]()
    names: dict[str, Any] = {"account_id": account, "rental_id": rental}

    async def act(what: Any, **terms: Any) -> Any:
        async with worker_db.begin_unscoped() as session:
            return await what(session, **names, **terms)

    async def run(price: int, *, known: bool = False) -> datetime:
        """Let it run for a while, settled now and then, and return until when it was of use: to the end, if ``known``."""
        nonlocal now
        await act(wallet.start, at=now)
        began = now
        for _ in range(draw.randrange(4)):
            now += timedelta(seconds=draw.randrange(1, 700), microseconds=draw.randrange(10**6))
            async with worker_db.begin_unscoped() as session:
                await wallet.settle(session, [wallet.Due(account, rental, 0)], at=now)
        pulse = now if known else began + (now - began) * draw.randrange(101) / 100
        stretches.append([price, int((pulse - began) / timedelta(seconds=1))])
        return pulse

    async def find_out() -> None:
        """Part of the last stretch turns out to have been of no use."""
        unused = draw.randrange(stretches[-1][1] + 1)
        given.append(await act(wallet.unrun, seconds=unused, at=now, reason="it was gone"))
        stretches[-1][1] -= unused

    async def give_back(until: datetime) -> None:
        given.append(await act(wallet.refund_host_fault, at=now, reason="it was gone", good_until=until))

    await act(wallet.hold, rate=rate, at=now, actor="test")
    for _ in range(draw.randrange(1, 5)):
        pulse = await run(rate)
        await act(wallet.pause, at=now, billable_until=pulse)
        if draw.random() < 0.4:
            continue
        if draw.random() < 0.5:
            await find_out()
        await give_back(now)
        await act(wallet.change_rate, rate=asleep, at=now)
        await run(asleep, known=True)
        await act(wallet.pause, at=now)
        await act(wallet.change_rate, rate=rate, at=now)
        if draw.random() < 0.5:
            await find_out()
    pulse = await run(rate)
    settled = await act(wallet.close, at=now, billable_until=pulse)
    await give_back(pulse)

    due = sum(price * seconds for price, seconds in stretches)
    assert 0 <= due / 3600 - (settled.charged - sum(given)) <= 2 * len(stretches)
