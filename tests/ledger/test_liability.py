"""The liability, rolled forward."""

from __future__ import annotations

from datetime import timedelta

from app import ledger
from app.kit.db import driver
from app.ledger import Kind, Movement
from app.ledger.liability import RollForward, roll_forward

DAY = timedelta(days=1)


async def _move(db, account, kind, amount, at):
    async with db.begin_unscoped() as session:
        await ledger.lock_wallet(session, account)
        key = f"{kind}:{amount}:{at}"
        await ledger.post(session, Movement(account, kind, amount, key, at, actor="test", description="a scene"))


async def test_a_period_is_what_it_began_with_and_what_moved_it(own_databases, new_account, at):
    db = own_databases.worker
    one, two = await new_account(db=db), await new_account(db=db)
    await _move(db, one, Kind.DEPOSIT, 10_000_000, at - DAY)
    await _move(db, one, Kind.RESERVE, 4_000_000, at)
    await _move(db, one, Kind.USAGE, 1_500_000, at)
    await _move(db, two, Kind.AUTO_TOPUP, 5_000_000, at + timedelta(hours=1))
    await _move(db, two, Kind.CLAWBACK, 2_000_000, at + timedelta(hours=2))
    await _move(db, two, Kind.DEPOSIT, 3_000_000, at + DAY)
    rolled = await roll_forward(db, since=at, until=at + DAY)
    flows = {Kind.USAGE: -1_500_000, Kind.AUTO_TOPUP: 5_000_000, Kind.CLAWBACK: -2_000_000}
    assert rolled == RollForward(10_000_000, flows, 11_500_000)
    assert rolled.difference == 0


async def test_periods_chain(own_databases, new_account, at):
    db = own_databases.worker
    account = await new_account(db=db)
    for day in range(4):
        await _move(db, account, Kind.DEPOSIT, 1_000_000 + day, at + day * DAY)
    rolled = [await roll_forward(db, since=at + day * DAY, until=at + (day + 1) * DAY) for day in range(4)]
    assert [one.closing for one in rolled[:-1]] == [one.opening for one in rolled[1:]]
    assert all(one.difference == 0 for one in rolled)


async def test_a_wallet_that_is_not_its_transfers_shows(own_databases, new_account, at):
    db = own_databases.worker
    account = await new_account(db=db)
    await _move(db, account, Kind.DEPOSIT, 1_000_000, at)
    async with db.begin_unscoped() as session:
        await driver(session).execute("UPDATE wallets SET available = available + 7 WHERE account_id = $1", account)
    assert (await roll_forward(db, since=at, until=at + DAY)).difference == 7


async def test_a_debt_lowers_the_liability_until_it_is_paid(own_databases, new_account, at):
    db = own_databases.worker
    account = await new_account(db=db)
    await _move(db, account, Kind.DEBT_INCURRED, 2_000_000, at)
    assert (await roll_forward(db, since=at, until=at + DAY)).closing == -2_000_000
    await _move(db, account, Kind.DEBT_REPAID, 2_000_000, at)
    assert (await roll_forward(db, since=at, until=at + DAY)).closing == 0
