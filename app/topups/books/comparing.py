"""Our books of one payment beside Stripe's. Pure.

Ours is what the ledger brought in or took out for the sake of the payment, each refund and each dispute; theirs is what
Stripe says of the same. Amounts in micro-dollars of credit, below zero where money goes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.topups.gateway.facts import DisputeFacts, PaymentFacts, RefundFacts
from app.topups.payments.converging import SUCCEEDED, has_failed, net_of, share_of, target


class What(StrEnum):
    """What is compared."""

    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"


@dataclass(frozen=True, slots=True)
class PaymentBooks:
    """What we have on record of one payment."""

    account_id: str | None = None
    payment_id: str | None = None
    refunds: Mapping[str, str] = field(default_factory=dict)
    """Our ids by Stripe's."""
    disputes: Mapping[str, str] = field(default_factory=dict)
    """Our ids by Stripe's."""
    net: Mapping[str, int] = field(default_factory=dict)
    """What the ledger moved, by our ids."""

    def moved(self, our_id: str | None) -> int:
        """Return what the ledger moved for one of our ids."""
        return self.net.get(our_id, 0) if our_id else 0


@dataclass(frozen=True, slots=True)
class Line:
    """One object as both sides have it."""

    what: What
    stripe_id: str
    our_id: str | None
    ours: int
    theirs: int

    @property
    def agrees(self) -> bool:
        """Say whether both sides say the same."""
        return self.ours == self.theirs


def lines(payment_intent_id: str, facts: PaymentFacts | None, books: PaymentBooks) -> list[Line]:
    """Return both sides of a payment, of each of its refunds and of each of its disputes.

    ``facts`` is None when Stripe knows no such payment. Where refunds and disputes together are more than the payment,
    they are compared in one sum: which of them was cut short is nobody's fault.
    """
    theirs = _theirs(facts)
    refunds = _of(What.REFUND, books.refunds, theirs.refunds, books)
    disputes = _of(What.DISPUTE, books.disputes, theirs.disputes, books)
    credit = Line(What.PAYMENT, payment_intent_id, books.payment_id, books.moved(books.payment_id), theirs.credit)
    taken = sum(line.theirs for line in (*refunds, *disputes))
    if facts is None or theirs.credit + taken >= 0:
        return [credit, *refunds, *disputes]
    ours = credit.ours + sum(line.ours for line in (*refunds, *disputes))
    return [Line(What.PAYMENT, payment_intent_id, books.payment_id, ours, target(facts))]


@dataclass(frozen=True, slots=True)
class _Theirs:
    credit: int = 0
    refunds: Mapping[str, int] = field(default_factory=dict)
    disputes: Mapping[str, int] = field(default_factory=dict)


def _theirs(facts: PaymentFacts | None) -> _Theirs:
    if facts is None or facts.status != SUCCEEDED:
        return _Theirs()
    return _Theirs(
        net_of(facts),
        {refund.id: _refund(facts, refund) for refund in facts.refunds},
        {dispute.id: _dispute(facts, dispute) for dispute in facts.disputes},
    )


def _refund(facts: PaymentFacts, refund: RefundFacts) -> int:
    return 0 if has_failed(refund) else -share_of(facts, refund.amount)


def _dispute(facts: PaymentFacts, dispute: DisputeFacts) -> int:
    withdrawn = share_of(facts, dispute.withdrawn)
    return min(share_of(facts, dispute.reinstated), withdrawn) - withdrawn


def _of(what: What, ours: Mapping[str, str], theirs: Mapping[str, int], books: PaymentBooks) -> list[Line]:
    """Pair by Stripe's id; who is on one side only is paired with nothing."""
    return [
        Line(what, stripe_id, ours.get(stripe_id), books.moved(ours.get(stripe_id)), theirs.get(stripe_id, 0))
        for stripe_id in sorted({*ours, *theirs})
    ]
