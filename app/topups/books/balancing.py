"""Our balance at Stripe over a span of time, by reporting category, and what of it is this deployment's. Pure.

Stripe moves its balance for more than our customers: payouts, fees, other deployments on the same account. So only what
names one of our objects is held against it; the rest is counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.kit.money import dollars
from app.topups.gateway.facts import BalanceTransactionFacts, PaymentFacts


@dataclass(slots=True)
class Category:
    """One reporting category, in micro-dollars; ``ours`` is the part that belongs to our objects."""

    count: int = 0
    amount: int = 0
    fee: int = 0
    net: int = 0
    ours: int = 0


@dataclass(frozen=True, slots=True)
class Balance:
    """What moved Stripe's balance, and which movements are not what their objects say."""

    categories: Mapping[str, Category] = field(default_factory=dict)
    differences: tuple[BalanceTransactionFacts, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as JSON, amounts in dollars."""
        return {
            "categories": {
                name: {
                    "count": found.count,
                    "amount": dollars(found.amount),
                    "fee": dollars(found.fee),
                    "net": dollars(found.net),
                    "ours": dollars(found.ours),
                }
                for name, found in sorted(self.categories.items())
            },
            "differences": [
                {
                    "id": one.id,
                    "source": one.source_id,
                    "category": one.reporting_category,
                    "amount": dollars(one.amount),
                }
                for one in self.differences
            ],
        }


def balance_of(moved: Iterable[BalanceTransactionFacts], payments: Iterable[PaymentFacts]) -> Balance:
    """Return movements by category. ``payments`` are ours: what moved for one of them must be what it says."""
    expected = _expected(payments)
    categories: defaultdict[str, Category] = defaultdict(Category)
    differences = []
    for one in moved:
        category = categories[one.reporting_category]
        category.count += 1
        category.amount += one.amount
        category.fee += one.fee
        category.net += one.net
        if (amounts := expected.get(one.source_id or "")) is not None:
            category.ours += one.amount
            if one.amount not in amounts:
                differences.append(one)
    return Balance(dict(categories), tuple(differences))


def _expected(payments: Iterable[PaymentFacts]) -> Mapping[str, frozenset[int]]:
    """Return by which amounts the balance may have moved for each object: out, or back."""
    expected: dict[str, frozenset[int]] = {}
    for payment in payments:
        if payment.charge is not None:
            expected[payment.charge.id] = frozenset({payment.charge.amount})
        for refund in payment.refunds:
            expected[refund.id] = frozenset({-refund.amount, refund.amount})
        for dispute in payment.disputes:
            expected[dispute.id] = frozenset({-dispute.withdrawn, dispute.reinstated})
    return expected
