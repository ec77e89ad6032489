"""A payment's rows: the payment, its refunds and its disputes, under the wallet's lock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import refills
from app.kit.db import driver
from app.kit.ids import AccountId, DisputeId, PaymentId, RefundId
from app.kit.leases import bucket_of
from app.topups.gateway.facts import DisputeFacts, PaymentFacts, RefundFacts
from app.topups.models import CheckoutRow, DisputeRow, PaymentRow, RefundRow
from app.topups.payments.converging import FAILED_REFUNDS, SUCCEEDED, PaymentState, PostedDispute, PostedRefund
from app.topups.payments.guarding import Asked

HELD = frozenset({"held", "submitted", "unknown"})
"""A refund of ours in these states has its money held, and may or may not exist at Stripe."""

INQUIRY, OPEN, CLOSED = "inquiry", "open", "closed"
"""Phases of a dispute. One that was never more than an inquiry ends as one, with a time at which it closed."""

PROCESSING = "processing"

PENDING_EVERY = timedelta(hours=6)
"""How often a refund that is on its way is looked at, should nobody tell how it went."""

_CLAIM = (
    "INSERT INTO payment_owners (payment_intent_id, account_id, payment_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
)


class ClaimedElsewhereError(Exception):
    """The payment was counted for another account before."""


@dataclass(frozen=True, slots=True)
class Books:
    """What we have on record of one payment. Amounts in micro-dollars of credit."""

    payment: PaymentRow
    refunds: list[RefundRow]
    disputes: list[DisputeRow]

    @property
    def state(self) -> PaymentState:
        """What was posted."""
        return PaymentState(
            credited=self.payment.credited,
            held={row.id: row.amount for row in self.refunds if row.source == "ours" and row.status in HELD},
            refunds={row.stripe_refund_id: _posted_refund(row) for row in self.refunds if row.stripe_refund_id},
            disputes={row.stripe_dispute_id: _posted_dispute(row) for row in self.disputes},
        )

    def refund(self, facts: RefundFacts) -> RefundRow | None:
        """Return the row of a refund at Stripe: by Stripe's id, or by ours if it names one that money is held for.

        One that we had given up and that was made after all is another refund, made behind our back.
        """
        for row in self.refunds:
            if row.stripe_refund_id == facts.id:
                return row
        ours = facts.metadata.get("refund_id")
        return next((row for row in self.refunds if row.id == ours and row.status in HELD), None)

    def dispute(self, stripe_dispute_id: str) -> DisputeRow | None:
        """Return the row of a dispute at Stripe."""
        return next((row for row in self.disputes if row.stripe_dispute_id == stripe_dispute_id), None)


async def find_asked(session: AsyncSession, facts: PaymentFacts, *, account_id: AccountId) -> Asked | None:
    """Return what we asked for with a payment, by the row that it names; None when it names none of the account's."""
    if checkout_id := facts.metadata.get("checkout_id"):
        query = select(CheckoutRow).where(CheckoutRow.account_id == account_id, CheckoutRow.id == checkout_id)
        row = await session.scalar(query)
        return Asked("checkout", row.amount, checkout_id=row.id) if row and row.amount is not None else None
    if attempt_id := facts.metadata.get("attempt_id"):
        amount = await refills.find_asked(session, account_id=account_id, attempt_id=attempt_id)
        return None if amount is None else Asked("auto_topup", amount, attempt_id=attempt_id)
    return None


async def find_by_intent(
    session: AsyncSession, payment_intent_id: str, *, account_id: AccountId, lock: bool = False
) -> PaymentRow | None:
    """Return the row of a payment by Stripe's id, locked if asked, or None."""
    query = select(PaymentRow).where(
        PaymentRow.account_id == account_id, PaymentRow.payment_intent_id == payment_intent_id
    )
    found: PaymentRow | None = await session.scalar(query.with_for_update() if lock else query)
    return found


async def open_books(
    session: AsyncSession, facts: PaymentFacts, asked: Asked, *, account_id: AccountId, at: datetime
) -> Books | None:
    """Return a payment's rows, locked. The first row is written once money moves, before there is None.

    The caller holds the wallet's lock.

    Raises:
        ClaimedElsewhereError: the payment belongs to another account.
    """
    payment = await find_by_intent(session, facts.payment_intent_id, account_id=account_id, lock=True)
    if payment is None and facts.status not in (SUCCEEDED, PROCESSING):
        return None
    if payment is None:
        return Books(await _add_payment(session, facts, asked, account_id=account_id, at=at), [], [])
    refunds = await session.scalars(
        select(RefundRow)
        .where(RefundRow.account_id == account_id, RefundRow.payment_id == payment.id)
        .order_by(RefundRow.id)
        .with_for_update()
    )
    disputes = await session.scalars(
        select(DisputeRow)
        .where(DisputeRow.account_id == account_id, DisputeRow.payment_id == payment.id)
        .order_by(DisputeRow.id)
        .with_for_update()
    )
    return Books(payment, list(refunds), list(disputes))


def add_refund(session: AsyncSession, books: Books, *, amount: int, at: datetime) -> RefundRow:
    """Write the row of a refund that was made behind our back; ``amount`` is what it takes of the credit."""
    row = RefundRow(
        account_id=books.payment.account_id,
        id=RefundId.new(),
        bucket=books.payment.bucket,
        payment_id=books.payment.id,
        amount=amount,
        source="external",
        status="pending",
        created_by="stripe",
        created_at=at,
        tries=0,
        next_at=at + PENDING_EVERY,
    )
    session.add(row)
    books.refunds.append(row)
    return row


def add_dispute(session: AsyncSession, books: Books, facts: DisputeFacts, *, amount: int, at: datetime) -> DisputeRow:
    """Write the row of a dispute that is seen for the first time: a mere question until something is held for it."""
    row = DisputeRow(
        account_id=books.payment.account_id,
        id=DisputeId.new(),
        payment_id=books.payment.id,
        stripe_dispute_id=facts.id,
        amount=amount,
        reason=facts.reason,
        status=facts.status,
        phase=INQUIRY,
        due_by=facts.due_by,
        withdrawn=0,
        reinstated=0,
        created_at=at,
        updated_at=at,
    )
    session.add(row)
    books.disputes.append(row)
    return row


async def _add_payment(
    session: AsyncSession, facts: PaymentFacts, asked: Asked, *, account_id: AccountId, at: datetime
) -> PaymentRow:
    payment_id = PaymentId.new()
    claimed = await driver(session).execute(_CLAIM, facts.payment_intent_id, account_id, payment_id)
    if claimed != "INSERT 0 1":
        raise ClaimedElsewhereError(facts.payment_intent_id)
    row = PaymentRow(
        account_id=account_id,
        id=payment_id,
        bucket=bucket_of(account_id),
        payment_intent_id=facts.payment_intent_id,
        source=asked.source,
        checkout_id=asked.checkout_id,
        attempt_id=asked.attempt_id,
        amount=facts.amount,
        tax=facts.tax,
        credited=0,
        refunded=0,
        disputed=0,
        status=PROCESSING,
        created_at=at,
        checked_at=at,
    )
    session.add(row)
    await session.flush()  # before the rows that name it: nothing else tells the order in which they are written
    return row


def _posted_refund(row: RefundRow) -> PostedRefund:
    return PostedRefund(taken=row.amount, returned=row.amount if row.status in FAILED_REFUNDS else 0)


def _posted_dispute(row: DisputeRow) -> PostedDispute:
    return PostedDispute(
        held=row.phase != INQUIRY, debited=row.withdrawn, reversed=row.reinstated, released=row.phase == CLOSED
    )
