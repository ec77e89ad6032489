"""Posting: one statement or nothing, once per key, never below zero, never changed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest

from app import ledger
from app.kit.db import driver
from app.kit.ids import AccountId, RentalId
from app.kit.money import MICROS_MAX
from app.kit.rls import API, OWNER, WORKER
from app.ledger import Bucket, Kind, Movement

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def movement(account, kind=Kind.RESERVE, amount=1_000_000, key="key", **rest):
    return Movement(account, kind, amount, key, AT, **rest)


async def post(db, *movements):
    async def work(session):
        return [await ledger.post(session, one) for one in movements]

    return await db.run(work)


async def rows_of(db, account):
    async with db.begin_unscoped() as session:
        return await driver(session).fetch("SELECT * FROM transfers WHERE account_id = $1 ORDER BY seq", account)


async def test_a_movement_changes_the_wallet_and_writes_its_row(worker_db, new_account, at):
    account = await new_account(micros=3_000_000)
    one = movement(account, actor="somebody", description="for something")
    [balances] = await post(worker_db, one)
    assert (balances.available, balances.reserved, balances.owed, balances.seq) == (2_000_000, 1_000_000, 0, 2)
    row = (await rows_of(worker_db, account))[-1]
    told = {name: row[name] for name in ("seq", "kind", "debit", "credit", "amount", "available_after", "actor")}
    assert told == {
        "seq": 2,
        "kind": "reserve",
        "debit": "available",
        "credit": "reserved",
        "amount": 1_000_000,
        "available_after": 2_000_000,
        "actor": "somebody",
    }


async def test_a_key_posted_again_moves_nothing_and_gives_the_first_balances(worker_db, new_account):
    account = await new_account(micros=3_000_000)
    [first] = await post(worker_db, movement(account))
    await post(worker_db, movement(account, key="other"))
    [again] = await post(worker_db, movement(account))
    assert (again.available, again.seq, again.replayed) == (first.available, first.seq, True)
    assert len(await rows_of(worker_db, account)) == 3
    with pytest.raises(ledger.KeyReusedError):
        await post(worker_db, movement(account, amount=1))


async def test_a_rental_is_reserved_for_once_and_a_second_time_fails_the_transaction(worker_db, new_account):
    account, rental = await new_account(micros=3_000_000), RentalId.new()
    wanted = {"account_id": account, "rental_id": rental, "amount": 1_000_000, "at": AT, "actor": "somebody"}
    async with worker_db.begin_unscoped() as session:
        balances = await ledger.reserve(session, **wanted)
    assert (balances.available, balances.reserved, balances.seq) == (2_000_000, 1_000_000, 2)
    with pytest.raises(ledger.TwinPostedError):
        async with worker_db.begin_unscoped() as session:
            await ledger.reserve(session, **wanted)
    [replayed] = await post(worker_db, movement(account, key=f"reserve:{rental}"))
    assert replayed.replayed
    _, row = await rows_of(worker_db, account)
    assert (row["kind"], row["rental_id"], row["actor"], row["description"]) == ("reserve", rental, "somebody", "")


async def test_reserving_for_a_rental_writes_the_row_that_posting_would(worker_db, new_account):
    rental, rows = RentalId.new(), []
    for is_posted in (False, True):
        account = await new_account(micros=3_000_000)
        async with worker_db.begin_unscoped() as session:
            if is_posted:
                await ledger.post(session, movement(account, key=f"reserve:{rental}", rental_id=rental, actor="one"))
            else:
                await ledger.reserve(
                    session, account_id=account, rental_id=rental, amount=1_000_000, at=AT, actor="one"
                )
        rows.append({**(await rows_of(worker_db, account))[-1], "account_id": "", "id": "", "created_at": AT})
    assert rows[0] == rows[1]


async def test_nothing_is_reserved_beyond_what_is_available_or_while_the_wallet_is_shut(worker_db, new_account):
    account = await new_account(micros=3_000_000)
    wanted = {"account_id": account, "rental_id": RentalId.new(), "at": AT, "actor": "somebody"}

    async def refused(error, amount=1_000_000):
        with pytest.raises(error):
            async with worker_db.begin_unscoped() as session:
                await ledger.reserve(session, **wanted, amount=amount)

    await refused(ledger.OverdrawnError, 3_000_001)
    for shut, open_again, error in (
        (ledger.freeze, ledger.unfreeze, ledger.FrozenError),
        (ledger.restrict, ledger.unrestrict, ledger.RestrictedError),
    ):
        async with worker_db.begin_unscoped() as session:
            await shut(session, account_id=account, at=AT)
        await refused(error)
        async with worker_db.begin_unscoped() as session:
            await open_again(session, account_id=account)
    assert len(await rows_of(worker_db, account)) == 1


async def test_the_same_key_fifty_times_at_once_moves_once(worker_db, new_account):
    account = await new_account(micros=3_000_000)
    answers = await asyncio.gather(*(post(worker_db, movement(account)) for _ in range(50)))
    assert {(b.available, b.reserved, b.seq) for [b] in answers} == {(2_000_000, 1_000_000, 2)}
    assert [b.replayed for [b] in answers].count(False) == 1
    assert len(await rows_of(worker_db, account)) == 2


async def test_the_same_inflow_fifty_times_at_once_moves_once(worker_db, new_account):
    account = await new_account()
    one = movement(account, Kind.DEPOSIT, 5_000_000)

    async def work(session):
        return await ledger.post_inflow(session, one)

    answers = await asyncio.gather(*(worker_db.run(work) for _ in range(50)))
    assert answers.count(True) == 1
    assert [row["amount"] for row in await rows_of(worker_db, account)] == [5_000_000]


async def test_the_last_cent_is_spent_by_one_of_many(worker_db, new_account):
    account = await new_account(micros=10_000)
    wanted = [post(worker_db, movement(account, amount=10_000, key=str(n))) for n in range(20)]
    answers = await asyncio.gather(*wanted, return_exceptions=True)
    assert sum(isinstance(answer, ledger.OverdrawnError) for answer in answers) == 19
    assert (await rows_of(worker_db, account))[-1]["available_after"] == 0


async def test_nothing_is_posted_that_would_fall_below_zero(worker_db, new_account):
    account = await new_account(micros=3_000_000)
    with pytest.raises(ledger.OverdrawnError) as refused:
        await post(worker_db, movement(account, amount=3_000_001))
    assert (refused.value.available, refused.value.reserved) == (3_000_000, 0)
    for kind in (Kind.USAGE, Kind.RELEASE, Kind.DEBT_REPAID):
        with pytest.raises(ledger.OverdrawnError):
            await post(worker_db, movement(account, kind, 1))
    assert len(await rows_of(worker_db, account)) == 1


@pytest.mark.parametrize("amount", [0, -1, MICROS_MAX + 1])
async def test_an_amount_out_of_bounds_never_reaches_the_database(worker_db, account, amount):
    with pytest.raises(ValueError, match="amount"):
        await post(worker_db, movement(account, amount=amount))


async def test_the_largest_amounts_do_not_pass_the_largest_number(worker_db, new_account):
    # 2^63 - 1 is 1,024 times the largest amount and a little: the sum is refused, not wrapped.
    account = await new_account()
    many = [movement(account, Kind.DEPOSIT, MICROS_MAX, key=str(n)) for n in range(1024)]
    async with worker_db.begin_unscoped() as session:
        await ledger.post_many(session, many)
    with pytest.raises(asyncpg.NumericValueOutOfRangeError):
        await post(worker_db, movement(account, Kind.DEPOSIT, MICROS_MAX, key="one too many"))
    assert (await rows_of(worker_db, account))[-1]["available_after"] == 1024 * MICROS_MAX


async def test_nothing_becomes_available_while_something_is_owed(worker_db, new_account):
    account = await new_account()
    await post(worker_db, movement(account, Kind.DEBT_INCURRED, 500, key="debt"))
    with pytest.raises(ledger.OverdrawnError) as refused:
        await post(worker_db, movement(account, Kind.DEPOSIT, 100, key="in"))
    assert refused.value.owed == 500


async def test_a_movement_without_a_wallet_is_refused_alone_and_among_others(worker_db, new_account):
    account, nobody = await new_account(micros=3_000_000), AccountId.new()
    with pytest.raises(ledger.NoWalletError):
        await post(worker_db, movement(nobody))
    with pytest.raises(ledger.NoWalletError):
        async with worker_db.begin_unscoped() as session:
            await ledger.post_many(session, [movement(account), movement(nobody)])
    assert len(await rows_of(worker_db, account)) == 1


async def test_many_movements_keep_their_order_and_count_on_in_each_wallet(worker_db, new_account):
    one, other = await new_account(micros=3_000_000), await new_account(micros=3_000_000)
    wanted = [
        movement(one, amount=2_000_000, key="a"),
        movement(other, amount=1_000_000, key="a"),
        movement(one, Kind.INFERENCE_USAGE, 500_000, key="b"),
        movement(one, Kind.RELEASE, 1_500_000, key="c"),
        movement(other, Kind.ADJUSTMENT_DEBIT, 2_000_000, key="d"),
    ]
    async with worker_db.begin_unscoped() as session:
        await ledger.lock_wallets(session, [one, other])
        await ledger.post_many(session, wanted)
    after = [
        (row["seq"], row["kind"], row["available_after"], row["reserved_after"])
        for row in await rows_of(worker_db, one)
    ]
    assert after[1:] == [
        (2, "reserve", 1_000_000, 2_000_000),
        (3, "inference_usage", 1_000_000, 1_500_000),
        (4, "release", 2_500_000, 0),
    ]
    assert [row["seq"] for row in await rows_of(worker_db, other)] == [1, 2, 3]


async def test_one_row_below_zero_or_one_used_key_fails_all_of_many(worker_db, new_account):
    one, other = await new_account(micros=3_000_000), await new_account(micros=3_000_000)
    await post(worker_db, movement(other, key="used"))
    for bad, error in (
        (
            [movement(other, Kind.USAGE, 1_500_000, key="u"), movement(other, amount=1_500_000, key="r")],
            asyncpg.CheckViolationError,
        ),
        ([movement(other, key="used")], ledger.TwinPostedError),
    ):
        with pytest.raises(error):
            async with worker_db.begin_unscoped() as session:
                await ledger.post_many(session, [movement(one), *bad])
    assert len(await rows_of(worker_db, one)) == 1


async def test_an_inflow_pays_the_debt_first(worker_db, new_account):
    account = await new_account()
    await post(worker_db, movement(account, Kind.DEBT_INCURRED, 500, key="debt"))
    async with worker_db.begin_unscoped() as session:
        assert await ledger.post_inflow(session, movement(account, Kind.DEPOSIT, 300, key="one"))
        assert await ledger.post_inflow(session, movement(account, Kind.PROMO_GRANT, 300, key="two"))
    told = [(row["kind"], row["debit"], row["amount"], row["owed_after"]) for row in await rows_of(worker_db, account)]
    assert told[1:] == [
        ("debt_repaid", "funding", 300, 200),
        ("debt_repaid", "promo", 200, 0),
        ("promo_grant", "promo", 100, 0),
    ]


@pytest.mark.parametrize("kind", [Kind.DEPOSIT, Kind.PROMO_EXPIRY])
async def test_a_kind_is_paid_only_from_where_it_may_be(worker_db, account, kind):
    bad = replace(movement(account), kind=kind, paid_from=Bucket.SPEND)
    with pytest.raises(ValueError, match="not paid from"):
        await post(worker_db, bad)


@pytest.mark.parametrize("table", ["transfers", "ledger_seals"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET account_id = account_id", "DELETE FROM {}", "TRUNCATE {}"])
async def test_history_is_refused_by_trigger_to_the_owner_and_by_right_to_everybody(
    worker_db, databases, new_account, at, table, statement
):
    account = await new_account(micros=1_000_000)
    async with worker_db.begin_unscoped() as session:
        await ledger.seal(session, account_id=account, at=at)
    connection = await asyncpg.connect(databases.urls.admin)
    try:
        # The administrator is above row-level security, so the rows are there to be hit.
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await connection.execute(statement.format(table))
        await connection.execute(f"SET ROLE {OWNER}")
        if statement.startswith("TRUNCATE"):
            with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
                await connection.execute(statement.format(table))
        for role in (API, WORKER):
            await connection.execute("RESET ROLE")
            await connection.execute(f"SET ROLE {role}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement.format(table))
    finally:
        await connection.close()


async def test_the_api_can_neither_make_wallets_nor_unfreeze_them(api_db, new_account, at):
    account = await new_account(micros=1_000_000)
    for statement in (
        "UPDATE wallets SET frozen_at = NULL",
        "DELETE FROM wallets",
        "UPDATE wallets SET account_id = account_id",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with api_db.begin(account) as session:
                await driver(session).execute(statement)


async def test_another_account_can_neither_see_nor_move_it(api_db, new_account):
    mine, theirs = await new_account(micros=1_000_000), await new_account(micros=1_000_000)
    with pytest.raises(ledger.NoWalletError):
        async with api_db.begin(mine) as session:
            await ledger.post(session, movement(theirs))
    async with api_db.begin(mine) as session:
        assert await ledger.lock_wallets(session, [theirs]) == {}
        assert not await driver(session).fetch("SELECT 1 FROM transfers WHERE account_id = $1", theirs)
