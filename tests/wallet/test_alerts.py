"""Warnings on money: once per downward crossing."""

from __future__ import annotations

from datetime import timedelta

from app import wallet

HOUR = timedelta(hours=1)


async def credit(db, account, amount, *, at, reference):
    async with db.begin_unscoped() as session:
        await wallet.credit_adjustment(
            session, account_id=account, amount=amount, reference=reference, reason="why", actor="op", at=at
        )


def levels(told):
    return [data["level"] for kind, data in told if kind in ("wallet.low", "wallet.depleted")]


async def test_a_level_is_told_in_the_transaction_that_crosses_it_and_not_again(
    worker_db, new_account, run_rental, told, at
):
    account = await new_account(micros=10_000_000)
    async with worker_db.begin_unscoped() as session:
        await wallet.set_low_balance(session, account_id=account, threshold=5_000_000)
    await run_rental(account, rate=4_000_000)
    assert "balance" not in levels(await told(account))
    await run_rental(account, rate=1_000_000)
    await run_rental(account, rate=1_000_000)
    assert levels(await told(account)).count("balance") == 1


async def test_depleted_is_told_when_the_last_cent_is_reserved(new_account, run_rental, told, at):
    account = await new_account(micros=2_800_000)
    await run_rental(account, rate=2_800_000)
    assert levels(await told(account)).count("depleted") == 1
    [data] = [data for kind, data in await told(account) if kind == "wallet.depleted"]
    assert data["available"] == "0.00"


async def test_a_level_rearms_at_110_percent_and_rests_for_twelve_hours(
    worker_db, new_account, run_rental, close_at, told, at
):
    account = await new_account(micros=6_000_000)
    async with worker_db.begin_unscoped() as session:
        await wallet.set_low_balance(session, account_id=account, threshold=5_000_000)
    for hours, count in ((0, 1), (2, 1), (13, 2)):
        rental = await run_rental(account, rate=1_000_000, started=at + hours * HOUR)
        assert levels(await told(account)).count("balance") == count
        await close_at(account, rental, at=at + hours * HOUR)


async def test_a_rise_short_of_110_percent_does_not_rearm(worker_db, new_account, run_rental, close_at, told, at):
    account = await new_account(micros=5_400_000)
    async with worker_db.begin_unscoped() as session:
        await wallet.set_low_balance(session, account_id=account, threshold=5_000_000)
    for hours in (0, 13):
        rental = await run_rental(account, rate=1_000_000, started=at + hours * HOUR)
        await close_at(account, rental, at=at + hours * HOUR)
    assert levels(await told(account)).count("balance") == 1


async def test_runway_levels_are_told_as_it_shrinks(new_account, run_rental, settle_at, told, at):
    account = await new_account(micros=30_000_000)
    rental = await run_rental(account, rate=1_000_000)
    assert levels(await told(account)) == []
    for hours in range(1, 30):
        await settle_at(account, rental, at=at + hours * HOUR)
    assert [level for level in levels(await told(account)) if level.startswith("runway")] == [
        "runway_24h",
        "runway_6h",
        "runway_1h",
    ]
    low = {data["level"]: data for _, data in await told(account)}
    assert low["runway_6h"] | {"available": "", "total": ""} == {
        "level": "runway_6h",
        "threshold_seconds": 21_600,
        "runway_seconds": 21_600,
        "available": "",
        "total": "",
    }


async def test_opening_a_wallet_again_changes_no_level(worker_db, new_account, run_rental, told, at):
    account = await new_account(micros=2_800_000)
    await run_rental(account, rate=2_800_000)
    async with worker_db.begin_unscoped() as session:
        await wallet.open_wallet(session, account_id=account, at=at)
        await wallet.credit_adjustment(
            session, account_id=account, amount=1, reference="1", reason="why", actor="op", at=at
        )
    assert levels(await told(account)).count("depleted") == 1
