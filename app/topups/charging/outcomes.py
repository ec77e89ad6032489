"""How a charge went, and what follows from it: credit, a decline, a page where the card's owner confirms, or waiting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app import refills
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Round
from app.refills import Attempt, AttemptState
from app.topups.gateway.account import Stripe
from app.topups.gateway.errors import (
    GatewayError,
    StripeBusy,
    StripeMissing,
    StripeRefused,
    StripeUnauthorized,
    StripeUnavailable,
    StripeUnknown,
)
from app.topups.gateway.facts import ChargeOrder, ChargeOutcome, PaymentFacts
from app.topups.models import CheckoutRow
from app.topups.payments.applying import apply_payment
from app.topups.tools import TopupTools
from app.topups.visits.checkouts import open_confirmation

log = structlog.get_logger(__name__)

AUTHENTICATE: Final = "authentication_required"
_OUTCOMES: Final[dict[type[GatewayError], str]] = {
    StripeUnknown: "unknown",
    StripeBusy: "busy",
    StripeUnavailable: "unavailable",
    StripeUnauthorized: "unauthorized",
}


@dataclass(frozen=True, slots=True)
class Job:
    """One try at one attempt."""

    tools: TopupTools
    stripe: Stripe
    this: Round
    attempt: Attempt
    again: bool
    """Stripe may have been asked before."""
    last4: str | None

    @property
    def params(self) -> Mapping[str, Any]:
        """What is sent, word for word."""
        return self.attempt.params or {}

    @property
    def order(self) -> ChargeOrder:
        """What is asked of Stripe: the same on every try, since it was frozen before the first."""
        return ChargeOrder(attempt_id=self.attempt.id, account_id=self.attempt.account_id, **self.params)


async def heed(job: Job, outcome: ChargeOutcome) -> str:
    """Do what follows from Stripe's answer."""
    intent = outcome.payment_intent_id
    match outcome.state:
        case "succeeded" if intent is not None:
            return await _credit(job, intent)
        case "action_required" if intent is not None:
            return await _send_for_owner(job, intent)
        case "declined":
            return await decline(job, intent, decline_code=outcome.decline_code, advice_code=outcome.advice_code)
        case _:
            return await _keep(job, "processing", payment_intent_id=intent)


async def follow(job: Job, facts: PaymentFacts) -> str:
    """Do what follows from a payment that was made before."""
    intent = facts.payment_intent_id
    match facts.status:
        case "succeeded":
            return await _credit(job, intent)
        case "requires_action":
            return await _send_for_owner(job, intent)
        case "requires_payment_method" | "requires_confirmation" | "canceled" if facts.last_error == AUTHENTICATE:
            return await _send_for_owner(job, intent)
        case "requires_payment_method":
            return await decline(job, intent, decline_code=facts.last_error, advice_code=facts.last_advice)
        case "canceled":
            return await give_up(job, "canceled")
        case _:
            return await _keep(job, "processing", payment_intent_id=intent)


async def _credit(job: Job, payment_intent_id: str) -> str:
    """Let the money in; the attempt ends in the same transaction. Should Stripe say nothing now, the next look does."""
    applied = await apply_payment(job.tools, payment_intent_id, at=job.tools.clock.now())
    return applied.outcome.value


async def decline(job: Job, payment_intent_id: str | None, *, decline_code: str | None, advice_code: str | None) -> str:
    """The card was declined: end the attempt, and let the rule wait or stop."""

    async def work(session: AsyncSession, at: datetime) -> None:
        await refills.decline(
            session,
            job.attempt,
            decline_code=decline_code,
            advice_code=advice_code,
            payment_intent_id=payment_intent_id,
            at=at,
            last4=job.last4,
        )

    await _write(job, work)
    return "declined"


async def no_card(job: Job) -> str:
    """The card or its customer is not at Stripe: nothing was charged, and nothing can be until a person acts."""
    log.error("topup.card_missing", attempt_id=job.attempt.id)

    async def work(session: AsyncSession, at: datetime) -> None:
        await refills.give_up(session, job.attempt, reason="card_missing", at=at)
        reason = refills.Reason.NO_PAYMENT_METHOD
        await refills.suspend(session, account_id=job.attempt.account_id, reason=reason, at=at)

    await _write(job, work)
    return "card_missing"


async def give_up(job: Job, reason: str) -> str:
    """Nothing was charged, and the attempt never will: end it."""

    async def work(session: AsyncSession, at: datetime) -> None:
        await refills.give_up(session, job.attempt, reason=reason, at=at)

    await _write(job, work)
    return reason


async def _send_for_owner(job: Job, payment_intent_id: str) -> str:
    """Remember that the bank wants the card's owner, so that a crash can't lose it; then send for him."""
    await _keep(job, "action_required", payment_intent_id=payment_intent_id, decline_code=AUTHENTICATE)
    return await confirm(job, payment_intent_id)


async def confirm(job: Job, payment_intent_id: str) -> str:
    """See to it that this payment can't succeed any more, open a page where its owner pays, and tell him."""
    try:
        await job.stripe.cancel_payment(payment_intent_id)
    except StripeMissing:
        pass
    except StripeRefused:
        return await _credit(job, payment_intent_id)
    page = await _page(job)

    async def work(session: AsyncSession, at: datetime) -> None:
        await refills.need_action(
            session,
            job.attempt,
            checkout_id=None if page is None else page.id,
            url=None if page is None else page.url,
            at=at,
            last4=job.last4,
            expires_at=None if page is None else page.expires_at,
        )

    await _write(job, work)
    return "action_required"


async def _page(job: Job) -> CheckoutRow | None:
    attempt = job.attempt
    try:
        return await open_confirmation(
            job.tools,
            account_id=attempt.account_id,
            attempt_id=attempt.id,
            amount=attempt.amount,
            at=job.tools.clock.now(),
        )
    except StripeRefused as error:
        log.error("topup.no_confirmation_page", attempt_id=attempt.id, error=str(error))  # noqa: TRY400 - no mystery
        return None


async def _keep(job: Job, outcome: str, *, payment_intent_id: str | None, decline_code: str | None = None) -> str:
    """Write down what is known of an attempt that stays open."""

    async def work(session: AsyncSession, at: datetime) -> None:
        await refills.keep(
            session,
            job.attempt,
            state=AttemptState.SUBMITTED,
            payment_intent_id=payment_intent_id,
            decline_code=decline_code,
            at=at,
        )

    await _write(job, work)
    return outcome


async def wait(job: Job, error: GatewayError) -> str:
    """Leave the attempt open: when to look again was noted before, unless Stripe says when."""
    outcome = _OUTCOMES.get(type(error), "refused")
    if isinstance(error, StripeRefused | StripeUnauthorized):
        log.error("topup.stripe_refused", attempt_id=job.attempt.id, outcome=outcome, error=str(error))
    unknown = isinstance(error, StripeUnknown)
    seconds = error.retry_after if isinstance(error, StripeBusy) else None
    if not unknown and not seconds:
        return outcome

    async def work(session: AsyncSession, at: datetime) -> None:
        state = AttemptState.UNKNOWN if unknown else job.attempt.state
        next_at = at + timedelta(seconds=seconds) if seconds else None
        await refills.keep(session, job.attempt, state=state, next_at=next_at, at=at)

    await _write(job, work)
    return outcome


async def _write(job: Job, work: Callable[[AsyncSession, datetime], Awaitable[None]]) -> None:
    """Write an outcome down, if the account is still this worker's."""
    attempt, at = job.attempt, job.tools.clock.now()

    async def fencing(session: AsyncSession) -> None:
        await fenced(session, job.this.holding, [bucket_name(attempt.bucket)])
        await work(session, at)

    await job.tools.db.run(fencing, account_id=attempt.account_id)
