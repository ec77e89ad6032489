"""Looking at a visit again: by its reader, by an event, by the sweep. All do the same; doing it again is harmless."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog

from app.kit.errors import NotFound
from app.kit.ids import AccountId
from app.topups.edge import stripe_of
from app.topups.gateway.errors import StripeMissing, StripeRefused
from app.topups.gateway.facts import SessionFacts
from app.topups.models import CheckoutRow
from app.topups.payments.applying import Applied, Outcome, apply_payment
from app.topups.tools import TopupTools
from app.topups.visits.cards import sync_cards
from app.topups.visits.checkouts import OVER, State, ask, follow, put_off
from app.topups.visits.queries import get_checkout

log = structlog.get_logger(__name__)

_OPEN, _COMPLETE, _EXPIRED = "open", "complete", "expired"
_PAID: Final = "succeeded"
_UNPAID: Final = frozenset({"requires_payment_method", "failed", "canceled"})


async def sync_checkout(tools: TopupTools, *, account_id: AccountId, checkout_id: str, at: datetime) -> CheckoutRow:
    """Return a visit as it stands at Stripe now, with everything that follows from it done.

    Raises:
        NotFound: the account has no such visit.
        GatewayError: Stripe did not answer; nothing is lost.
    """
    row = await tools.db.run(
        lambda session: get_checkout(session, account_id=account_id, checkout_id=checkout_id), account_id=account_id
    )
    if row.state in OVER:
        return row
    if row.session_id is None:
        return await _ask_again(tools, row, at=at)
    try:
        facts = await stripe_of(tools).get_session(row.session_id)
    except StripeMissing:
        log.warning("checkout.session_missing", checkout_id=row.id, account_id=account_id)
        return await put_off(tools, row, at=at)
    return await _carry_out(tools, row, facts, at=at)


async def sync_session(tools: TopupTools, session_id: str, *, at: datetime) -> CheckoutRow | None:
    """Do what follows from a session of Stripe's; None when it is no visit of this deployment.

    Raises:
        GatewayError: Stripe did not answer; nothing is lost.
    """
    try:
        facts = await stripe_of(tools).get_session(session_id)
    except StripeMissing:
        return None
    row = await _row_of(tools, facts)
    if row is None or not _belongs(facts, row, livemode=stripe_of(tools).livemode):
        log.warning("checkout.foreign_session", session_id=session_id, known=row is not None)
        return None
    return await _carry_out(tools, row, facts, at=at)


async def _ask_again(tools: TopupTools, row: CheckoutRow, *, at: datetime) -> CheckoutRow:
    """Find the session of a visit whose answer got lost."""
    try:
        return await ask(tools, row, at=at)
    except StripeRefused:
        account_id = AccountId(row.account_id)
        return await tools.db.run(
            lambda session: get_checkout(session, account_id=account_id, checkout_id=row.id), account_id=account_id
        )


async def _carry_out(tools: TopupTools, row: CheckoutRow, facts: SessionFacts, *, at: datetime) -> CheckoutRow:
    account_id = AccountId(row.account_id)
    if facts.status != _COMPLETE:
        state = State.EXPIRED if facts.status == _EXPIRED else State.OPEN
        return await follow(tools, row, facts, state, at=at)
    if row.mode == "setup":
        method_id = await _saved_card(tools, facts)
        await sync_cards(tools, account_id=account_id, at=at)
        return await follow(tools, row, facts, State.COMPLETE, at=at, payment_method_id=method_id)
    if facts.payment_intent_id is None:
        return await follow(tools, row, facts, State.PROCESSING, at=at)
    applied = await apply_payment(tools, facts.payment_intent_id, at=at)
    state = _state_after(applied)
    if state is State.COMPLETE and row.save_card:
        await sync_cards(tools, account_id=account_id, at=at)
    return await follow(tools, row, facts, state, at=at, payment_id=applied.payment_id)


async def _saved_card(tools: TopupTools, facts: SessionFacts) -> str | None:
    if facts.setup_intent_id is None:
        return None
    return (await stripe_of(tools).get_setup(facts.setup_intent_id)).payment_method_id


def _state_after(applied: Applied) -> State:
    """A payment that we refuse is nothing to wait for: a person has to look at it."""
    if applied.outcome in (Outcome.REFUSED, Outcome.FOREIGN) or applied.status in _UNPAID:
        return State.FAILED
    paid = applied.outcome in (Outcome.APPLIED, Outcome.UNCHANGED) and applied.status == _PAID
    return State.COMPLETE if paid else State.PROCESSING


async def _row_of(tools: TopupTools, facts: SessionFacts) -> CheckoutRow | None:
    """Return the row of a session that this deployment asked for."""
    if facts.metadata.get("deployment") != tools.deployment:
        return None
    checkout_id = facts.metadata.get("checkout_id", "")
    try:
        account_id = AccountId.parse(facts.metadata.get("account_id", ""))
    except ValueError:
        return None
    try:
        return await tools.db.run(
            lambda session: get_checkout(session, account_id=account_id, checkout_id=checkout_id),
            account_id=account_id,
        )
    except NotFound:
        return None


def _belongs(facts: SessionFacts, row: CheckoutRow, *, livemode: bool) -> bool:
    """Say whether a session is the one that was made for a visit."""
    return (
        row.session_id in (None, facts.id)
        and facts.client_reference_id == row.id
        and facts.customer_id == row.params.get("customer")
        and facts.mode == row.mode
        and facts.livemode is livemode
    )
