"""Rentals whose machine is taken back, again and again: whatever was settled before it was noticed, gaps cost nothing."""

from __future__ import annotations

import random
from datetime import timedelta
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
