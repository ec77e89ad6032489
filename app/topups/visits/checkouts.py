"""Visits to Stripe's page, where a customer pays or saves a card.

A visit is written down, with every word that Stripe will be asked, before Stripe is asked; so a crash or a lost answer
leaves a row that finds its one session again. What a session says then changes the row forwards only, and money comes
in by ``apply_payment`` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit
from app.kit.ids import AccountId, CheckoutId, TopupId
from app.kit.leases import bucket_of
from app.topups.customers import KEYS_ARE_KEPT, ensure_customer
from app.topups.edge import stripe_of
from app.topups.gateway.errors import StripeRefused, StripeUnknown
from app.topups.gateway.facts import SessionFacts, SessionOrder, Visit
from app.topups.models import CheckoutRow, CustomerRow
from app.topups.tools import TopupTools
from app.topups.visits.queries import find_by_key, lock_checkout
from app.web.errors import IdempotencyMismatch

LIFETIME: Final = timedelta(hours=24)
"""How long Stripe's page can be used."""
_FIRST_LOOK = timedelta(minutes=2)


class Purpose(StrEnum):
    """What a visit is for."""

    DEPOSIT = "deposit"
    SAVE_CARD = "save_card"
    CONFIRM_TOPUP = "confirm_topup"
    """The card's bank wants to see its owner: the money comes by hand this time."""


class State(StrEnum):
    """Where a visit stands."""

    CREATED = "created"
    """Stripe may not have heard of it yet."""
    OPEN = "open"
    PROCESSING = "processing"
    """Done at the page; the money is still on its way."""
    COMPLETE = "complete"
    EXPIRED = "expired"
    FAILED = "failed"


OVER: Final = frozenset({State.COMPLETE, State.EXPIRED, State.FAILED})


@dataclass(frozen=True, slots=True)
class Wish:
    """A visit that somebody wants."""

    purpose: Purpose
    key: str
    """The caller's idempotency key."""
    created_by: str
    amount: int | None = None
    save_card: bool = False
    attempt_id: TopupId | None = None

    @property
    def kept_key(self) -> str:
        """Return the key as it is kept: two purposes share none."""
        return f"{self.purpose}:{self.key}"


@dataclass(frozen=True, slots=True)
class Opened:
    """A visit, and whether this very call was answered before."""

    row: CheckoutRow
    replayed: bool


async def open_checkout(tools: TopupTools, wish: Wish, *, account_id: AccountId, at: datetime) -> Opened:
    """Return the visit that a wish has: one, however often the wish is repeated with its key.

    Raises:
        CardPaymentsNotSetUp: there is no Stripe here.
        IdempotencyMismatch: the key stands for another wish.
        GatewayError: Stripe did not open it; a repetition goes on where this one stopped.
    """
    stripe_of(tools)
    row = await tools.db.run(
        lambda session: find_by_key(session, account_id=account_id, key=wish.kept_key), account_id=account_id
    )
    if row is None:
        customer_id = await ensure_customer(tools, account_id=account_id, at=at)
        row = await tools.db.run(
            lambda session: _written(session, tools, wish, customer_id=customer_id, account_id=account_id, at=at),
            account_id=account_id,
        )
    if (row.amount, row.save_card, row.attempt_id) != (wish.amount, wish.save_card, wish.attempt_id):
        raise IdempotencyMismatch
    if row.state == State.FAILED and row.session_id is None:
        raise StripeRefused("refused_before")
    if row.state != State.CREATED:
        return Opened(row, replayed=True)
    return Opened(await ask(tools, row, at=at), replayed=False)


async def open_confirmation(
    tools: TopupTools, *, account_id: AccountId, attempt_id: TopupId, amount: int, at: datetime
) -> CheckoutRow:
    """Return the visit at which a person pays what a top-up was to charge, and lets the card be charged again."""
    wish = Wish(
        Purpose.CONFIRM_TOPUP, key=attempt_id, created_by="system", amount=amount, save_card=True, attempt_id=attempt_id
    )
    return (await open_checkout(tools, wish, account_id=account_id, at=at)).row


async def ask(tools: TopupTools, row: CheckoutRow, *, at: datetime) -> CheckoutRow:
    """Let Stripe open the session of a row that has none yet: the one it opened already, if it did.

    Raises:
        GatewayError: it did not, or nobody knows; after a refusal the visit has failed.
    """
    stripe = stripe_of(tools)
    if at - row.created_at > KEYS_ARE_KEPT:
        return await _ended(tools, row, State.EXPIRED)
    try:
        facts = await stripe.create_session(SessionOrder(row.id, row.params))
    except StripeUnknown as error:
        if not error.replayed:
            raise
        found = await stripe.find_session(customer_id=row.params["customer"], checkout_id=row.id)
        if found is None:
            await _ended(tools, row, State.FAILED)
            raise
        facts = found
    except StripeRefused:
        await _ended(tools, row, State.FAILED)
        raise
    return await follow(tools, row, facts, State.OPEN, at=at)


async def follow(
    tools: TopupTools,
    row: CheckoutRow,
    facts: SessionFacts,
    state: State,
    *,
    at: datetime,
    payment_id: str | None = None,
    payment_method_id: str | None = None,
) -> CheckoutRow:
    """Write down what is known of a visit now. An older answer undoes nothing."""

    async def write(session: AsyncSession) -> CheckoutRow:
        found = await lock_checkout(session, account_id=AccountId(row.account_id), checkout_id=row.id)
        found.session_id = found.session_id or facts.id
        found.url = facts.url or found.url
        found.payment_intent_id = facts.payment_intent_id or found.payment_intent_id
        found.setup_intent_id = facts.setup_intent_id or found.setup_intent_id
        found.payment_id = payment_id or found.payment_id
        found.payment_method_id = payment_method_id or found.payment_method_id
        _move(found, state, at=at)
        return found

    return await tools.db.run(write, account_id=AccountId(row.account_id))


async def put_off(tools: TopupTools, row: CheckoutRow, *, at: datetime) -> CheckoutRow:
    """Look at a visit later whose session Stripe does not know, as after a change of keys; never, once it is too old."""

    async def write(session: AsyncSession) -> CheckoutRow:
        found = await lock_checkout(session, account_id=AccountId(row.account_id), checkout_id=row.id)
        _move(found, State.EXPIRED if at >= found.expires_at else State(found.state), at=at)
        return found

    return await tools.db.run(write, account_id=AccountId(row.account_id))


def _move(row: CheckoutRow, state: State, *, at: datetime) -> None:
    """Take a step forwards: what Stripe says of money counts over what was thought before, and over time."""
    if _RANKS[State(row.state)] < _RANKS[state]:
        row.state = state
        row.completed_at = at if state is State.COMPLETE else row.completed_at
    row.next_at = None if row.state in OVER else _next_look(row, at)


_RANKS: Final = {
    State.CREATED: 0,
    State.OPEN: 1,
    State.EXPIRED: 2,
    State.PROCESSING: 3,
    State.FAILED: 4,
    State.COMPLETE: 5,
}


def _next_look(row: CheckoutRow, at: datetime) -> datetime:
    """Look after a tenth of the time that it has been there, so that an old one costs little."""
    return at + max(_FIRST_LOOK, (at - row.created_at) / 10)


async def _ended(tools: TopupTools, row: CheckoutRow, state: State) -> CheckoutRow:
    async def write(session: AsyncSession) -> CheckoutRow:
        found = await lock_checkout(session, account_id=AccountId(row.account_id), checkout_id=row.id)
        if found.state == State.CREATED:
            found.state, found.next_at = state, None
        return found

    return await tools.db.run(write, account_id=AccountId(row.account_id))


async def _written(
    session: AsyncSession, tools: TopupTools, wish: Wish, *, customer_id: str, account_id: AccountId, at: datetime
) -> CheckoutRow:
    checkout_id = CheckoutId.new()
    customer = await session.get(CustomerRow, account_id)
    visit = Visit(
        checkout_id=checkout_id,
        account_id=account_id,
        customer_id=customer_id,
        amount=wish.amount,
        save_card=wish.save_card,
        return_url=f"{tools.public_url}/v1/billing/return?checkout={checkout_id}",
        metadata={"confirms": wish.attempt_id} if wish.attempt_id else {},
        receipt_email=customer.email or None if customer else None,
    )
    values = {
        "account_id": account_id,
        "id": checkout_id,
        "bucket": bucket_of(account_id),
        "mode": "setup" if wish.amount is None else "payment",
        "purpose": wish.purpose,
        "amount": wish.amount,
        "save_card": wish.save_card,
        "idempotency_key": wish.kept_key,
        "params": dict(stripe_of(tools).session_order(visit).params),
        "state": State.CREATED,
        "attempt_id": wish.attempt_id,
        "created_by": wish.created_by,
        "created_at": at,
        "expires_at": at + LIFETIME,
        "next_at": at + _FIRST_LOOK,
    }
    made = await session.scalar(insert(CheckoutRow).values(values).on_conflict_do_nothing().returning(CheckoutRow.id))
    if made is not None:
        await audit.write(session, _entry(wish, checkout_id, account_id=account_id, at=at))
    row = await find_by_key(session, account_id=account_id, key=wish.kept_key)
    if row is None:
        raise AssertionError("a visit was written and is not there")
    return row


def _entry(wish: Wish, checkout_id: CheckoutId, *, account_id: AccountId, at: datetime) -> audit.Entry:
    told = {"purpose": wish.purpose, "amount_micros": wish.amount, "save_card": wish.save_card}
    return audit.Entry(account_id, "checkout.created", checkout_id, at, actor=wish.created_by, details={"after": told})
