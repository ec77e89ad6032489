"""Carrying top-ups out: written down by the wallet's rule, charged at Stripe, then credited, declined or confirmed.

- charging: attempts whose outcome is open are charged, or looked for. Twice: the same key with the same words, and a
  look for what was made before, so that an attempt never makes a second payment. Never: the wallet is not refilled, and
  the attempt counts against the month's cap.

Stripe is called with no transaction open. An answer that never came leaves the attempt as it is: its payment is looked
for by our id first, and only then asked for again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app import refills, wallet
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Reconciler, Round
from app.refills import Attempt, AttemptState, DueAttempt
from app.topups.charging.outcomes import AUTHENTICATE, Job, confirm, decline, follow, give_up, heed, no_card, wait
from app.topups.customers import KEYS_ARE_KEPT
from app.topups.gateway.account import Stripe
from app.topups.gateway.errors import GatewayError, StripeMissing, StripeRefused, StripeUnknown
from app.topups.gateway.facts import PaymentFacts
from app.topups.models import CustomerRow, PaymentMethodRow
from app.topups.tools import TopupTools

RETRY_FIRST: Final = timedelta(seconds=15)
RETRY_MAX: Final = timedelta(hours=1)
_TRIES_COUNTED: Final = 10
STALE: Final = timedelta(minutes=10)
"""What was asked for so long ago and never sent is judged anew."""
_DESCRIPTION: Final = "Hourglass automatic top-up"


def charging(tools: TopupTools) -> Reconciler:
    """Return the reconciler that charges cards for what wallets' rules asked for."""

    async def find(this: Round, limit: int) -> list[DueAttempt]:
        async with tools.db.begin_unscoped() as session:
            return await refills.find_due(session, at=this.at, buckets=this.holding.buckets, limit=limit)

    async def mend(this: Round, due: DueAttempt) -> str:
        return await step(tools, this, due)

    return Reconciler(name="topups.charging", every_seconds=1.0, batch=200, find=find, step=mend, concurrency=4)


async def step(tools: TopupTools, this: Round, due: DueAttempt) -> str:
    """Bring one attempt further; return what came of it."""
    if tools.stripe is None:
        return "no_key"
    job = await _begin(tools, tools.stripe, this, due)
    if job is None:
        return "nothing_to_do"
    try:
        return await _try(job)
    except GatewayError as error:
        return await wait(job, error)


async def _begin(tools: TopupTools, stripe: Stripe, this: Round, due: DueAttempt) -> Job | None:
    """Note that Stripe is about to be asked, and when to look again should we die meanwhile."""

    async def work(session: AsyncSession) -> Job | None:
        await fenced(session, this.holding, [bucket_name(due.bucket)])
        attempt = await refills.lock_attempt(session, account_id=due.account_id, attempt_id=due.id)
        if attempt.next_at is None or attempt.next_at > this.at:
            return None
        if attempt.state is AttemptState.CREATED and await _is_idle(session, attempt, at=this.at):
            return None
        params = attempt.params or await _frozen(session, attempt)
        if params is None:
            await refills.give_up(session, attempt, reason="no_customer", at=this.at)
            return None
        next_at = this.at + min(RETRY_FIRST * 2 ** min(attempt.tries, _TRIES_COUNTED), RETRY_MAX)
        begun = await refills.begin_try(session, attempt, params=params, at=this.at, next_at=next_at)
        card = await session.get(PaymentMethodRow, (attempt.account_id, attempt.payment_method_id))
        return Job(tools, stripe, this, begun, again=begun.tries > 1, last4=None if card is None else card.last4)

    return await tools.db.run(work, account_id=due.account_id)


async def _is_idle(session: AsyncSession, attempt: Attempt, *, at: datetime) -> bool:
    """End an attempt that nobody needs any more before it is sent; what is still needed is asked for anew."""
    needed = await refills.is_needed(session, attempt)
    if needed and at < attempt.created_at + STALE:
        return False
    await refills.withdraw(session, attempt, reason="stale" if needed else "not_needed", at=at)
    await wallet.reconsider(session, account_id=attempt.account_id, trigger=refills.Trigger.SWEEP, at=at)
    return True


async def _frozen(session: AsyncSession, attempt: Attempt) -> dict[str, Any] | None:
    """Return what will be sent for an attempt, on this try and on every other."""
    customer = await session.get(CustomerRow, attempt.account_id)
    if customer is None or customer.customer_id is None:
        return None
    return {
        "customer_id": customer.customer_id,
        "payment_method_id": attempt.payment_method_id,
        "amount": attempt.amount,
        "description": _DESCRIPTION,
        "receipt_email": customer.email or None,
    }


async def _try(job: Job) -> str:
    """Find the attempt's payment if it was asked for before; else, or if there is none, ask for it."""
    attempt = job.attempt
    if attempt.decline_code == AUTHENTICATE and attempt.payment_intent_id is not None:
        return await confirm(job, attempt.payment_intent_id)
    if job.again:
        found = await _find(job)
        if found is not None:
            return await follow(job, found)
        if attempt.submitted_at is not None and job.this.at - attempt.submitted_at > KEYS_ARE_KEPT:
            return await give_up(job, "unresolved")
    return await _ask(job)


async def _ask(job: Job) -> str:
    try:
        outcome = await job.stripe.charge(job.order)
    except StripeMissing:
        return await no_card(job)
    except StripeRefused as error:
        return await decline(job, None, decline_code=error.code or "refused", advice_code=None)
    except StripeUnknown as error:
        if error.replayed and job.again:  # the first try's failure told again; it made nothing that could be found
            return await give_up(job, "unresolved")
        raise
    return await heed(job, outcome)


async def _find(job: Job) -> PaymentFacts | None:
    attempt = job.attempt
    if attempt.payment_intent_id is not None:
        return await job.stripe.get_payment(attempt.payment_intent_id)
    since = attempt.submitted_at or attempt.created_at
    return await job.stripe.find_charge(customer_id=job.params["customer_id"], attempt_id=attempt.id, since=since)
