"""The one way in for money from cards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger, refills
from app.kit.ids import AccountId, PaymentId
from app.topups.customers import find_customer
from app.topups.edge import stripe_of
from app.topups.gateway.errors import StripeMissing
from app.topups.gateway.facts import PaymentFacts
from app.topups.payments.converging import Credit, DebitDispute, Effect, effects, share_of
from app.topups.payments.enacting import Desk, enact
from app.topups.payments.following import follow
from app.topups.payments.guarding import account_named, refusal
from app.topups.payments.rows import ClaimedElsewhereError, add_dispute, find_asked, open_books
from app.topups.payments.telling import News, debt_news, tell
from app.topups.tools import TopupTools

log = structlog.get_logger(__name__)

REFUSED = Counter("hourglass_payments_refused", "Payments that differ from what we asked for, by what", ["reason"])


class Outcome(StrEnum):
    """What came of looking at a payment."""

    APPLIED = "applied"
    """Something was posted."""
    UNCHANGED = "unchanged"
    """Everything had been posted before."""
    WAITING = "waiting"
    """It has not succeeded, or not yet: nothing to post."""
    FOREIGN = "foreign"
    """It is not of this deployment, or Stripe has no such payment: none of our business."""
    REFUSED = "refused"
    """It differs from what we asked for: nothing is posted until a person has looked."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What was found and done. Amounts in micro-dollars."""

    outcome: Outcome
    payment_intent_id: str
    account_id: AccountId | None = None
    payment_id: PaymentId | None = None
    status: str | None = None
    """Stripe's word for it."""
    credited: int = 0
    """What came in by this very call; zero when it had come in before."""
    reason: str | None = None
    """Why it was refused, or is foreign."""


async def apply_payment(tools: TopupTools, payment_intent_id: str, *, at: datetime) -> Applied:
    """Make the ledger say what Stripe says of one payment now: credit, refunds and disputes. Harmless to repeat.

    Raises:
        CardPaymentsNotSetUp: there is no Stripe here.
        GatewayError: Stripe did not answer; nothing was changed.
    """
    stripe = stripe_of(tools)
    try:
        facts = await stripe.get_payment(payment_intent_id)
    except StripeMissing:
        return Applied(Outcome.FOREIGN, payment_intent_id, reason="missing")
    account_id = account_named(facts, deployment=tools.deployment)
    if account_id is None:
        return Applied(Outcome.FOREIGN, payment_intent_id, status=facts.status, reason="not_ours")

    async def work(session: AsyncSession) -> Applied:
        return await apply_facts(session, facts, account_id=account_id, livemode=stripe.livemode, at=at)

    applied = await tools.db.run(work, account_id=account_id)
    if applied.outcome is Outcome.REFUSED:
        REFUSED.labels(applied.reason).inc()
        log.error("payment.refused", payment_intent_id=payment_intent_id, account_id=account_id, reason=applied.reason)
    return applied


async def apply_facts(
    session: AsyncSession, facts: PaymentFacts, *, account_id: AccountId, livemode: bool, at: datetime
) -> Applied:
    """Post what is missing of a payment in the caller's transaction. Locks the wallet, then the payment's rows."""
    seen = Applied(Outcome.WAITING, facts.payment_intent_id, account_id, status=facts.status)
    asked = await find_asked(session, facts, account_id=account_id)
    customer_id = await find_customer(session, account_id=account_id)
    because = refusal(facts, asked=asked, customer_id=customer_id, livemode=livemode)
    if because is not None or asked is None:
        return replace(seen, outcome=Outcome.REFUSED, reason=because)
    owed = (await ledger.lock_wallet(session, account_id)).owed
    try:
        books = await open_books(session, facts, asked, account_id=account_id, at=at)
    except ClaimedElsewhereError:
        return replace(seen, outcome=Outcome.REFUSED, reason="claimed_elsewhere")
    if books is None:
        return seen
    desk = Desk(session, books, facts, at)
    posted, news = await _converge(desk)
    after = await ledger.lock_wallet(session, account_id)
    if after.owed > owed:
        disputed = any(isinstance(effect, DebitDispute) for effect in posted)
        news.append(debt_news(books.payment, owed=after.owed, reason="dispute" if disputed else "refund", at=at))
    await tell(session, news, account_id=account_id, at=at)
    waiting = not posted and not books.payment.credited
    return replace(
        seen,
        outcome=Outcome.WAITING if waiting else Outcome.APPLIED if posted else Outcome.UNCHANGED,
        payment_id=desk.payment_id,
        credited=sum(effect.amount for effect in posted if isinstance(effect, Credit)),
    )


async def _converge(desk: Desk) -> tuple[list[Effect], list[News]]:
    """Post what is missing, and let the rows follow. Returns what was posted, and what is to be told."""
    books, facts, at = desk.books, desk.facts, desk.at
    fresh = [
        add_dispute(desk.session, books, dispute, amount=share_of(facts, dispute.amount), at=at)
        for dispute in facts.disputes
        if books.dispute(dispute.id) is None
    ]
    wanted = effects(facts, books.state)
    await enact(desk, wanted)
    news = follow(books, facts, wanted, fresh, at=at)
    if fresh:
        await suspend_refills(desk.session, account_id=desk.account_id, at=at)
    if any(isinstance(effect, Credit) for effect in wanted):
        await _tell_rule(desk)
    return wanted, news


async def _tell_rule(desk: Desk) -> None:
    """Let the auto-top-up's rule know of a payment that came in: its own, or one made by hand."""
    payment = desk.books.payment
    if payment.attempt_id is None:
        await refills.note_payment_by_hand(
            desk.session, account_id=desk.account_id, fingerprint=payment.fingerprint, at=desk.at
        )
        return
    await refills.succeed(
        desk.session,
        account_id=desk.account_id,
        attempt_id=payment.attempt_id,
        payment_id=payment.id,
        payment_intent_id=payment.payment_intent_id,
        at=desk.at,
        last4=payment.last4,
        receipt_url=payment.receipt_url,
    )


async def suspend_refills(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    """Charge no card of an account by itself until a person acts. The caller holds the wallet's lock."""
    await refills.suspend(session, account_id=account_id, reason=refills.Reason.DISPUTE, at=at)
