"""Wallets with rules, and what became of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app import refills, wallet
from app.events import list_events
from app.kit.ids import PaymentId, RentalId
from app.ledger import Kind, Movement
from app.refills import Card, Consent, Mode, Terms

DOLLAR = 1_000_000
TERMS = Terms(Mode.FIXED, threshold=10 * DOLLAR, amount=25 * DOLLAR, target=None, monthly_cap=200 * DOLLAR)
CARD = Card("pm_1", "fingerprint-1")


@pytest.fixture
def set_rule(worker_db, at):
    """Set a rule as a customer would, without judging it: ``await set_rule(account, threshold=…)``."""

    async def setting(account, *, card=CARD, when=at, **changes):
        async with worker_db.begin_unscoped() as session:
            rule = await refills.configure(
                session,
                account_id=account,
                terms=replace(TERMS, **changes),
                card=card,
                consent=Consent("v1", when, "key_1"),
                at=when,
            )
            await wallet.watch(session, account_id=account)
            return rule

    return setting


@pytest.fixture
def hold(worker_db, at):
    """Reserve an hour for something that is about to run."""

    async def holding(account, rate, *, when=at):
        rental = RentalId.new()
        async with worker_db.begin_unscoped() as session:
            await wallet.hold(session, account_id=account, rental_id=rental, rate=rate, at=when, actor="test")
        return rental

    return holding


@pytest.fixture
def attempts_of(worker_db):
    async def listing(account):
        async with worker_db.begin_unscoped() as session:
            return await refills.list_attempts(session, account_id=account, before=None, limit=100)

    return listing


@pytest.fixture
def the_rule(worker_db):
    async def reading(account):
        async with worker_db.begin_unscoped() as session:
            return await refills.find_rule(session, account_id=account)

    return reading


@pytest.fixture
def send(worker_db, at):
    """Submit an attempt, as the worker does before it calls Stripe."""

    async def sending(attempt, *, when=at):
        async with worker_db.begin_unscoped() as session:
            locked = await refills.lock_attempt(session, account_id=attempt.account_id, attempt_id=attempt.id)
            return await refills.begin_try(session, locked, params={"amount": locked.amount}, at=when, next_at=when)

    return sending


@pytest.fixture
def come_in(worker_db, at):
    """Let the charge of an attempt come in: the money, then the attempt's end."""

    async def coming(attempt, *, when=at):
        async with worker_db.begin_unscoped() as session:
            known = await refills.find_attempt(session, account_id=attempt.account_id, attempt_id=attempt.id)
            payment_id, key = known.payment_id or PaymentId.new(), f"payment:{attempt.id}"
            paid = Movement(attempt.account_id, Kind.AUTO_TOPUP, attempt.amount, key, when, reference=payment_id)
            await wallet.receive(session, paid)
            return await refills.succeed(
                session,
                account_id=attempt.account_id,
                attempt_id=attempt.id,
                payment_id=payment_id,
                payment_intent_id=f"pi_{attempt.id}",
                at=when,
                last4="4242",
            )

    return coming


@pytest.fixture
def turn_down(worker_db, at):
    """Decline an attempt that was sent."""

    async def turning(attempt, *, when=at, decline_code="insufficient_funds", advice_code=None):
        async with worker_db.begin_unscoped() as session:
            return await refills.decline(
                session,
                attempt,
                decline_code=decline_code,
                advice_code=advice_code,
                payment_intent_id=f"pi_{attempt.id}",
                at=when,
            )

    return turning


@pytest.fixture
def told(worker_db):
    """The account's own events about top-ups, oldest first."""

    async def telling(account):
        async with worker_db.begin_unscoped() as session:
            rows = await list_events(session, account_id=account, subject=account, limit=1000)
            return [(row.type, row.data) for row in rows if row.type.startswith("auto_topup.")]

    return telling


@pytest.fixture
def refill(worker_db, at):
    """Judge a wallet's rule as the sweep does."""

    async def judging(account, *, when=at):
        async with worker_db.begin_unscoped() as session:
            return await wallet.refill(session, [account], at=when, trigger=refills.Trigger.SWEEP)

    return judging
