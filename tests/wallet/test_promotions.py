"""Promotional credit: spent first, gone when it expires, never taken for what is reversed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import ledger, lots, wallet
from app.kit.db import driver
from app.kit.ids import LotId, PaymentId, RefundId
from app.kit.reconcile import Round, Runner
from app.ledger import Kind, Movement
from app.lots import invariants
from app.wallet.reconcilers import promo_expiry

DOLLAR = 1_000_000
LEFT = "SELECT remaining, withheld FROM credit_lots WHERE account_id = $1 AND source = 'promo'"


@pytest.fixture
def grant(worker_db, at):
    async def granting(account, dollars, *, reference="welcome", days=None, priority=100, now=at):
        async with worker_db.begin_unscoped() as session:
            return await wallet.grant_promo(
                session,
                account_id=account,
                amount=dollars * DOLLAR,
                reference=reference,
                reason="welcome",
                actor="operator",
                at=now,
                expires_at=days and now + timedelta(days=days),
                priority=priority,
            )

    return granting


@pytest.fixture
def deposit(worker_db, at):
    async def depositing(account, dollars):
        payment = PaymentId.new()
        async with worker_db.begin_unscoped() as session:
            movement = Movement(account, Kind.DEPOSIT, dollars * DOLLAR, f"p:{payment}", at, reference=payment)
            await wallet.receive(session, movement)
        return payment

    return depositing


@pytest.fixture
def claw(worker_db, at):
    async def clawing(account, dollars, payment):
        async with worker_db.begin_unscoped() as session:
            return await wallet.claw_back(
                session,
                account_id=account,
                amount=dollars * DOLLAR,
                reference=RefundId.new(),
                reason="refunded",
                actor="stripe",
                at=at,
                payment_id=payment,
            )

    return clawing


@pytest.fixture
def expire(worker_db, holding):
    async def expiring(at):
        return await Runner(promo_expiry(worker_db)).run_once(Round(at, holding))

    return expiring


@pytest.fixture
async def book(worker_db, new_account):
    """Return an account's lots; their invariants hold before anybody counts them, and at the test's end."""
    seen = []

    async def reading(account):
        seen.append(account)
        async with worker_db.begin_unscoped() as session:
            assert await invariants.broken_for(session, [account]) == []
            return await lots.advance(session, account)

    yield reading
    async with worker_db.begin_unscoped() as session:
        for account in seen:
            await lots.advance(session, account)
        assert await invariants.broken_for(session, seen) == []


async def test_a_grant_moves_once_and_its_reference_stands_for_its_amount(grant, account, look, at, book):
    assert await grant(account, 5)
    assert not await grant(account, 5)
    with pytest.raises(ledger.KeyReusedError):
        await grant(account, 6)
    assert (await look(account, at=at)).available == 5 * DOLLAR
    [lot] = (await book(account)).lots
    assert (lot.source, lot.reference, lot.granted, lot.remaining) == ("promo", "welcome", 5 * DOLLAR, 5 * DOLLAR)


async def test_a_grant_that_has_expired_already_is_refused(grant, account):
    with pytest.raises(ValueError, match="expires"):
        await grant(account, 5, days=-1)


async def test_promotions_are_spent_before_payments(grant, deposit, account, run_rental, close_at, at, book, worker_db):
    payment = await deposit(account, 10)
    await grant(account, 3)
    rental = await run_rental(account, rate=4 * DOLLAR)
    await close_at(account, rental, at=at + timedelta(hours=1))
    found = await book(account)
    assert (found.promo_left, found.left_of(payment)) == (0, 9 * DOLLAR)
    async with worker_db.begin(account) as session:
        assert await lots.unspent(session, account_id=account, reference=payment) == 9 * DOLLAR
        assert await lots.promo_left(session, account_id=account) == 0


async def test_what_expires_goes_what_a_rental_holds_stays_until_it_is_released(
    grant, deposit, account, run_rental, close_at, look, at, expire, book
):
    await grant(account, 5, days=1)
    await deposit(account, 5)
    rental = await run_rental(account, rate=2 * DOLLAR, started=at + timedelta(hours=23, minutes=30))
    await expire(at + timedelta(hours=23, minutes=59))
    over = at + timedelta(days=1, minutes=1)
    await expire(over)
    # Half an hour and a minute of $2 an hour were used; an hour is held, the rest has expired.
    assert (await book(account)).promo_left == 2 * DOLLAR
    balance = await look(account, at=over)
    assert (balance.available, balance.reserved) == (5 * DOLLAR, 2 * DOLLAR)
    assert not (await expire(over + timedelta(minutes=9)))["expired"]
    await close_at(account, rental, at=over + timedelta(minutes=9))
    await expire(over + timedelta(minutes=10))
    assert (await book(account)).promo_left == 0
    balance = await look(account, at=over + timedelta(minutes=10))
    assert (balance.available, balance.reserved) == (5 * DOLLAR, 0)


async def test_what_a_failed_host_gives_back_of_a_promotion_that_has_expired_expires_too(
    grant, deposit, account, run_rental, close_at, at, expire, look, worker_db
):
    await grant(account, 4, days=1)
    await deposit(account, 1)
    rental = await run_rental(account, rate=5 * DOLLAR)
    await close_at(account, rental, at=at + timedelta(hours=1))
    late = at + timedelta(days=2)
    await expire(late)
    async with worker_db.begin_unscoped() as session:
        terms = {"account_id": account, "rental_id": rental, "at": late, "reason": "host fault"}
        assert await wallet.refund_host_fault(session, **terms) == 5 * DOLLAR
    assert (await look(account, at=late)).available == 5 * DOLLAR
    await expire(late)
    assert (await look(account, at=late)).available == DOLLAR


async def test_what_never_expires_and_what_is_spent_is_left_alone(
    grant, account, run_rental, close_at, at, expire, look
):
    await grant(account, 1, reference="spent", days=1)
    await grant(account, 2, reference="for ever")
    rental = await run_rental(account, rate=DOLLAR)
    await close_at(account, rental, at=at + timedelta(hours=1))
    await expire(at + timedelta(days=2))
    assert (await look(account, at=at)).available == 2 * DOLLAR


async def test_a_reversed_payment_takes_no_promotion_which_is_withheld_until_the_debt_is_paid(
    grant, deposit, claw, account, look, at, book
):
    await grant(account, 4)
    payment = await deposit(account, 3)
    await claw(account, 5, payment)
    balance = await look(account, at=at)
    assert (balance.available, balance.owed) == (0, 2 * DOLLAR)
    [lot] = [one for one in (await book(account)).lots if one.source == "promo"]
    assert (lot.remaining, lot.withheld) == (0, 4 * DOLLAR)
    await deposit(account, 1)
    assert (await look(account, at=at)).available == 0
    await deposit(account, 3)
    balance = await look(account, at=at)
    assert (balance.available, balance.owed) == (6 * DOLLAR, 0)
    assert (await book(account)).promo_left == 4 * DOLLAR


async def test_promotional_credit_that_a_rental_gives_back_pays_no_debt(
    grant, deposit, claw, account, run_rental, close_at, look, at, book
):
    await grant(account, 4)
    payment = await deposit(account, 3)
    rental = await run_rental(account, rate=6 * DOLLAR)
    await claw(account, 3, payment)
    assert (await look(account, at=at)).owed == 2 * DOLLAR
    await close_at(account, rental, at=at)
    # Of the $6 that came back $4 are promotional; $2 pay the debt, and so the rest may be had again.
    balance = await look(account, at=at)
    assert (balance.available, balance.owed, balance.reserved) == (4 * DOLLAR, 0, 0)
    assert (await book(account)).promo_left == 4 * DOLLAR


async def test_what_comes_back_from_a_rental_is_withheld_while_something_is_owed(
    grant, deposit, claw, account, run_rental, close_at, look, at, book
):
    await grant(account, 4)
    payment = await deposit(account, 3)
    rental = await run_rental(account, rate=6 * DOLLAR)
    await close_at(account, rental, at=at + timedelta(minutes=50))
    rental = await run_rental(account, rate=2 * DOLLAR)
    await claw(account, 3, payment)
    balance = await look(account, at=at)
    assert (balance.owed, balance.reserved) == (3 * DOLLAR, 2 * DOLLAR)
    await close_at(account, rental, at=at)
    assert (await look(account, at=at)).owed == DOLLAR
    assert (await book(account)).promo_left == 0


async def test_an_audit_finds_no_credit_twice_right_after_it_was_withheld(
    grant, deposit, claw, account, run_rental, close_at, at, worker_db
):
    async def audited():
        async with worker_db.begin_unscoped() as session:
            found = await invariants.broken_for(session, [account])
            rows = await driver(session).fetch(LEFT, account)
        return found, [tuple(row) for row in rows]

    await grant(account, 4)
    payment = await deposit(account, 3)
    rental = await run_rental(account, rate=DOLLAR)
    await claw(account, 8, payment)
    assert await audited() == ([], [(DOLLAR, 3 * DOLLAR)])
    await close_at(account, rental, at=at)
    assert await audited() == ([], [(0, 4 * DOLLAR)])


async def test_a_grant_waits_while_something_is_owed(grant, deposit, claw, account, look, at, book):
    payment = await deposit(account, 3)
    await claw(account, 5, payment)
    assert await grant(account, 4)
    assert not await grant(account, 4)
    assert ((balance := await look(account, at=at)).available, balance.owed) == (0, 2 * DOLLAR)
    await deposit(account, 2)
    assert ((balance := await look(account, at=at)).available, balance.owed) == (4 * DOLLAR, 0)
    assert (await book(account)).promo_left == 4 * DOLLAR


async def test_what_is_withheld_may_expire_meanwhile(grant, deposit, claw, account, look, at, expire, book):
    await grant(account, 4, days=1)
    payment = await deposit(account, 3)
    await claw(account, 5, payment)
    await expire(at + timedelta(days=2))
    [lot] = [one for one in (await book(account)).lots if one.source == "promo"]
    assert (lot.remaining, lot.withheld) == (0, 0)
    await deposit(account, 2)
    assert ((balance := await look(account, at=at)).available, balance.owed) == (0, 0)


async def test_a_lot_is_named_by_its_transfers(grant, account, worker_db):
    await grant(account, 5)
    async with worker_db.begin_unscoped() as session:
        [lot] = (await lots.advance(session, account)).lots
        LotId.parse(lot.id)
        posted = await ledger.posted_for(session, account_id=account, reference=lot.id)
    assert posted == [(Kind.PROMO_GRANT, 5 * DOLLAR)]
