"""Carrying refunds out: held here, made at Stripe, then finished, or released.

- refunding: refunds whose money is held are asked of Stripe. Twice: the same key, and a look for what was made before,
  so there is never a second one. Never: the money stays held, and no less.

Stripe is called with no transaction open. An answer that never came leaves the refund as it is: it is looked for by
our id first, and asked for again with the same key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger, wallet
from app.kit.ids import AccountId, RefundId
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Reconciler, Round
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
from app.topups.gateway.facts import RefundOrder
from app.topups.models import PaymentRow, RefundRow
from app.topups.payments.applying import apply_payment
from app.topups.payments.refund_asking import CENT
from app.topups.payments.rows import HELD, PENDING_EVERY
from app.topups.payments.telling import all_of, refund_news, tell
from app.topups.tools import TopupTools

log = structlog.get_logger(__name__)

RETRY_FIRST: Final = timedelta(seconds=30)
RETRY_MAX: Final = timedelta(hours=1)
_TRIES_COUNTED: Final = 10
_OUTCOMES: Final[dict[type[GatewayError], str]] = {
    StripeUnknown: "unknown",
    StripeBusy: "busy",
    StripeUnavailable: "unavailable",
    StripeUnauthorized: "unauthorized",
}


@dataclass(frozen=True, slots=True)
class DueRefund:
    """A refund that is to be carried out, or looked at."""

    account_id: AccountId
    refund_id: RefundId
    bucket: int

    def __str__(self) -> str:
        """Name it for the runner."""
        return self.refund_id


@dataclass(frozen=True, slots=True)
class Submitted:
    """What is asked of Stripe for a refund."""

    order: RefundOrder
    again: bool
    """It may have been asked before."""
    held: bool
    """Its money is still held here; otherwise it is on its way and only to be looked at."""


def refunding(tools: TopupTools) -> Reconciler:
    """Return the reconciler that carries refunds out."""

    async def find_due(this: Round, limit: int) -> list[DueRefund]:
        async with tools.db.begin_unscoped() as session:
            return await find(session, this, limit=limit)

    async def mend(this: Round, due: DueRefund) -> str:
        return await step(tools, this, due)

    return Reconciler(name="topups.refunding", every_seconds=2.0, batch=200, find=find_due, step=mend, concurrency=4)


async def find(session: AsyncSession, this: Round, *, limit: int) -> list[DueRefund]:
    """Return refunds whose time has come, the longest overdue first."""
    query = (
        select(RefundRow.account_id, RefundRow.id, RefundRow.bucket)
        .where(RefundRow.next_at <= this.at, RefundRow.bucket.in_(this.holding.buckets))
        .order_by(RefundRow.next_at)
        .limit(limit)
    )
    return [DueRefund(AccountId(row[0]), RefundId(row[1]), row[2]) for row in await session.execute(query)]


async def step(tools: TopupTools, this: Round, due: DueRefund) -> str:
    """Bring one refund further; return what came of it."""
    stripe = tools.stripe
    if stripe is None:
        return "no_key"
    submitted = await _submit(tools, this, due)
    if submitted is None:
        return "nothing_to_do"
    if submitted.held:
        try:
            await _make(stripe, submitted)
        except StripeMissing as error:
            # Another account's key would say so too: what is held stays held until a person has looked.
            log.error("refund.payment_missing", refund_id=due.refund_id, error=str(error))  # noqa: TRY400 - no mystery
            return "missing"
        except StripeRefused as error:
            return await _give_up(tools, this, due, submitted.order, error.code)
        except GatewayError as error:
            return await _wait(tools, this, due, error)
    return await _look(tools, submitted.order.payment_intent_id, at=this.at)


async def _submit(tools: TopupTools, this: Round, due: DueRefund) -> Submitted | None:
    """Note that Stripe is about to be asked, and when to look again should we die meanwhile."""

    async def work(session: AsyncSession) -> Submitted | None:
        await fenced(session, this.holding, [bucket_name(due.bucket)])
        row = await _lock(session, due)
        if row.next_at is None or row.next_at > this.at:
            return None
        payment = await session.get(PaymentRow, (row.account_id, row.payment_id))
        if payment is None:
            raise LookupError(f"{row.id} has no payment")
        held = row.status in HELD
        submitted = Submitted(_order(row, payment), again=row.tries > 0, held=held)
        row.next_at = this.at + (min(RETRY_FIRST * 2**row.tries, RETRY_MAX) if held else PENDING_EVERY)
        if held:
            row.tries = min(row.tries + 1, _TRIES_COUNTED)
            row.submitted_at = row.submitted_at or this.at
            row.status = "submitted"
        return submitted

    return await tools.db.run(work, account_id=due.account_id)


async def _make(stripe: Stripe, submitted: Submitted) -> None:
    """See to it that the refund exists at Stripe, once.

    Raises:
        StripeRefused: Stripe will not make it, and has not made it before.
    """
    order = submitted.order
    if submitted.again and await _is_made(stripe, order):
        return
    try:
        await stripe.create_refund(order)
    except StripeMissing:
        raise
    except StripeRefused:
        # That it was made before may be the very reason.
        if not await _is_made(stripe, order):
            raise


async def _is_made(stripe: Stripe, order: RefundOrder) -> bool:
    found = await stripe.find_refund(payment_intent_id=order.payment_intent_id, refund_id=order.refund_id)
    return found is not None


async def _give_up(tools: TopupTools, this: Round, due: DueRefund, order: RefundOrder, code: str | None) -> str:
    """Release what is held for a refund that Stripe refuses, and see what else is new with its payment."""

    async def work(session: AsyncSession) -> str:
        await fenced(session, this.holding, [bucket_name(due.bucket)])
        await ledger.lock_wallet(session, due.account_id)
        row = await _lock(session, due)
        if row.status not in HELD:
            return "nothing_to_do"
        await wallet.release_refund(session, account_id=due.account_id, refund_id=due.refund_id, at=this.at)
        row.status, row.failure_reason, row.resolved_at, row.next_at = "failed", code or "refused", this.at, None
        payment = await session.get(PaymentRow, (row.account_id, row.payment_id))
        if payment is not None:
            await tell(session, all_of([refund_news(row, payment)]), account_id=due.account_id, at=this.at)
        return "refused"

    outcome = await tools.db.run(work, account_id=due.account_id)
    await _look(tools, order.payment_intent_id, at=this.at)
    return outcome


async def _wait(tools: TopupTools, this: Round, due: DueRefund, error: GatewayError) -> str:
    """Leave the refund as it is: when to look again was noted before."""
    outcome = _OUTCOMES.get(type(error), "unavailable")
    if not isinstance(error, StripeUnknown):
        return outcome

    async def work(session: AsyncSession) -> str:
        await fenced(session, this.holding, [bucket_name(due.bucket)])
        row = await _lock(session, due)
        if row.status == "submitted":
            row.status = "unknown"
        return outcome

    return await tools.db.run(work, account_id=due.account_id)


async def _look(tools: TopupTools, payment_intent_id: str, *, at: datetime) -> str:
    """Let the ledger follow what Stripe says now; should it say nothing, the next look does."""
    try:
        return (await apply_payment(tools, payment_intent_id, at=at)).outcome.value
    except GatewayError as error:
        return _OUTCOMES.get(type(error), "unavailable")


async def _lock(session: AsyncSession, due: DueRefund) -> RefundRow:
    query = select(RefundRow).where(RefundRow.account_id == due.account_id, RefundRow.id == due.refund_id)
    row = await session.scalar(query.with_for_update())
    if row is None:
        raise LookupError(f"there is no {due.refund_id}")
    return row


def _order(row: RefundRow, payment: PaymentRow) -> RefundOrder:
    """Return what is asked of Stripe: the same on every try, since what it is made of never changes."""
    return RefundOrder(
        refund_id=row.id,
        account_id=row.account_id,
        payment_intent_id=payment.payment_intent_id,
        amount=gross_of(row.amount, paid=payment.amount, tax=payment.tax),
    )


def gross_of(credit: int, *, paid: int, tax: int) -> int:
    """Return what goes back to the card for so much credit: with its part of the tax, in whole cents, rounded down."""
    return credit * paid // (paid - tax) // CENT * CENT if tax else credit
