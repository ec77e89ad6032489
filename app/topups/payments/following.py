"""The rows follow what Stripe says beside the money: states, receipts, cards. Never backwards: an old answer is old."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from app.topups.gateway.facts import DisputeFacts, PaymentFacts, RefundFacts
from app.topups.models import DisputeRow, PaymentRow, RefundRow
from app.topups.payments.converging import (
    FAILED_REFUNDS,
    SUCCEEDED,
    Credit,
    DebitDispute,
    Effect,
    HoldDispute,
    ReverseDispute,
    is_closed,
)
from app.topups.payments.rows import CLOSED, INQUIRY, PENDING_EVERY, PROCESSING, Books
from app.topups.payments.telling import News, all_of, dispute_news, payment_failed_news, payment_news, refund_news

FAILED, CANCELED = "failed", "canceled"
_PENDING = "pending"
_HAPPENED: Final[dict[type, str]] = {HoldDispute: "opened", DebitDispute: "withdrawn", ReverseDispute: "reinstated"}
_REFUND_RANKS: Final = {
    "held": 0,
    "submitted": 0,
    "unknown": 0,
    _PENDING: 1,
    "succeeded": 2,
    "failed": 3,
    "canceled": 3,
}
_UNDECIDED_DISPUTES: Final = frozenset(
    {"warning_needs_response", "needs_response", "warning_under_review", "under_review"}
)


def follow(
    books: Books, facts: PaymentFacts, posted: Sequence[Effect], fresh: Sequence[DisputeRow], *, at: datetime
) -> list[News]:
    """Let every row follow, and return what is to be told. ``fresh`` disputes are seen for the first time."""
    payment, news = books.payment, list[News]()
    before = payment.status
    follow_payment(payment, facts, at=at)
    if any(isinstance(effect, Credit) for effect in posted):
        news.append(payment_news(payment))
    elif payment.status != before and payment.status in (FAILED, CANCELED):
        news.append(payment_failed_news(payment))
    for refund in facts.refunds:
        refunded = books.refund(refund)
        if refunded is not None and follow_refund(refunded, refund, at=at):
            news += all_of([refund_news(refunded, payment)])
    for dispute in facts.disputes:
        contested = books.dispute(dispute.id)
        if contested is not None:
            closed = follow_dispute(contested, dispute, at=at)
            happened = [_HAPPENED[type(effect)] for effect in posted if _is_of(effect, dispute)]
            if contested in fresh and "opened" not in happened:
                happened.insert(0, INQUIRY)
            news += [dispute_news(contested, payment, one) for one in [*happened, *closed]]
    return news


def follow_payment(row: PaymentRow, facts: PaymentFacts, *, at: datetime) -> None:
    """Take over a payment's status, charge, receipt and card."""
    row.checked_at = max(row.checked_at, at)
    if row.status == SUCCEEDED and facts.status != SUCCEEDED:
        return
    row.status = _payment_status(facts.status)
    charge = facts.charge
    if charge is None:
        return
    row.charge_id = charge.id
    row.receipt_url = charge.receipt_url or row.receipt_url
    if (card := charge.card) is not None:
        row.payment_method_id, row.brand, row.last4, row.fingerprint = card.id, card.brand, card.last4, card.fingerprint


def follow_refund(row: RefundRow, facts: RefundFacts, *, at: datetime) -> str | None:
    """Take over a refund's status; return the new one if it has moved on."""
    status = facts.status if facts.status in _REFUND_RANKS else _PENDING
    row.stripe_refund_id = facts.id
    if _REFUND_RANKS[status] <= _REFUND_RANKS[row.status]:
        return None
    row.status = status
    if status == _PENDING:
        row.next_at = at + PENDING_EVERY
        return status
    row.failure_reason = facts.failure_reason or (status if status in FAILED_REFUNDS else None)
    row.resolved_at = at
    row.next_at = None
    return status


def follow_dispute(row: DisputeRow, facts: DisputeFacts, *, at: datetime) -> list[str]:
    """Take over a dispute's status; return ``closed`` when it has just ended. One that is over stays over."""
    over = row.closed_at is not None
    if over and facts.status in _UNDECIDED_DISPUTES:
        return []
    if row.status != facts.status or row.due_by != facts.due_by:
        row.status, row.due_by, row.updated_at = facts.status, facts.due_by, at
    if over or not is_closed(facts):
        return []
    row.closed_at = at
    return [CLOSED]


def _is_of(effect: Effect, dispute: DisputeFacts) -> bool:
    return isinstance(effect, HoldDispute | DebitDispute | ReverseDispute) and effect.stripe_dispute_id == dispute.id


def _payment_status(stripes: str) -> str:
    """Return our word: a payment that waits for its owner again has failed."""
    return stripes if stripes in (SUCCEEDED, PROCESSING, CANCELED) else FAILED
