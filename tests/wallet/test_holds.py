"""Holds: reserve, start, settle, drain, stop."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from app import wallet
from app.kit.db import Database
from app.kit.ids import AccountId, RentalId

RATE = 2_800_000


async def test_the_worked_example_of_ten_dollars_holds_to_the_micro_dollar(
    worker_db: Database, new_account, at: datetime
) -> None:
    account = await new_account(micros=10_000_000)
    rental = RentalId.new()
    async with worker_db.begin(account) as session:
        await wallet.hold(session, account_id=account, rental_id=rental, rate=RATE, at=at, actor="test")
        assert await _numbers(session, account, at) == (7_200_000, 2_800_000)
        await wallet.start(session, account_id=account, rental_id=rental, at=at)
    for minute in range(10, 90, 10):
        now = at + timedelta(minutes=minute)
        async with worker_db.begin(account) as session:
            due = await _due(session, account, now)
            assert await wallet.settle(session, due, at=now) == 1
            if minute == 10:
                assert await _numbers(session, account, now) == (6_733_334, 2_800_000)
    end = at + timedelta(minutes=90)
    async with worker_db.begin(account) as session:
        settled = await wallet.close(session, account_id=account, rental_id=rental, at=end, billable_until=end)
        assert settled.charged == 4_200_000
        assert await _numbers(session, account, end) == (5_800_000, 0)


async def test_a_wallet_without_an_hour_is_refused_with_the_shortfall(
    worker_db: Database, new_account, at: datetime
) -> None:
    account = await new_account(micros=1_000_000)
    async with worker_db.begin(account) as session:
        with pytest.raises(wallet.InsufficientBalance) as refused:
            await wallet.hold(session, account_id=account, rental_id=RentalId.new(), rate=RATE, at=at, actor="test")
        assert refused.value.extra == {"required": "2.80", "available": "1.00", "shortfall": "1.80"}


async def test_another_account_sees_nothing_even_without_a_where(api_db: Database, new_account, at: datetime) -> None:
    await new_account(micros=1_000_000)
    other = await new_account()
    async with api_db.begin(other) as session:
        from sqlalchemy import text

        assert (await session.execute(text("SELECT count(*) FROM wallets"))).scalar() == 1
        assert (await session.execute(text("SELECT count(*) FROM transfers"))).scalar() == 0


async def _due(session, account: AccountId, at: datetime) -> list[wallet.Due]:
    found = await wallet.find_due(session, at=at, slots=(0, 599), buckets=list(range(64)), limit=100_000)
    return [due for due in found if due.account_id == account]


async def _numbers(session, account: AccountId, at: datetime) -> tuple[int, int]:
    balance = await wallet.get_balance(session, account_id=account, at=at)
    return balance.available, balance.reserved
