"""What really happened in the account: what a bill or a ledger is audited against."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.sandbox.stripe.store import Obj, Store


@dataclass(frozen=True, slots=True)
class PaymentTruth:
    """One payment intent and what became of its money, in cents."""

    id: str
    customer: str | None
    metadata: dict[str, str]
    status: str
    amount: int
    received: int
    refunded: int
    withdrawn: int
    """Taken back by disputes, without the fee."""
    reinstated: int
    charges: int
    """How many tries there were, declined ones too."""

    @property
    def kept(self) -> int:
        """What the merchant has of it, before fees."""
        return self.received - self.refunded - self.withdrawn + self.reinstated


@dataclass(frozen=True, slots=True)
class StripeTruth:
    """All payments, refunds and disputes."""

    payments: list[PaymentTruth] = field(default_factory=list)
    refunds: list[Obj] = field(default_factory=list)
    disputes: list[Obj] = field(default_factory=list)

    @property
    def succeeded(self) -> list[PaymentTruth]:
        """The payments that were collected."""
        return [payment for payment in self.payments if payment.received]


def truth_of(store: Store) -> StripeTruth:
    """Return the account's truth, oldest first."""
    charges, refunds, disputes = (list(store.all(kind)) for kind in ("charge", "refund", "dispute"))

    def of(rows: list[Obj], intent: Obj) -> list[Obj]:
        """Return an intent's rows among some."""
        return [row for row in rows if row["payment_intent"] == intent["id"]]

    payments = []
    for intent in store.all("payment_intent"):
        moved = [row["amount"] for dispute in of(disputes, intent) for row in dispute["balance_transactions"]]
        tries = of(charges, intent)
        payments.append(
            PaymentTruth(
                id=intent["id"],
                customer=intent["customer"],
                metadata=dict(intent["metadata"]),
                status=intent["status"],
                amount=intent["amount"],
                received=intent["amount_received"],
                refunded=sum(charge["amount_refunded"] for charge in tries),
                withdrawn=-sum(amount for amount in moved if amount < 0),
                reinstated=sum(amount for amount in moved if amount > 0),
                charges=len(tries),
            )
        )
    return StripeTruth(payments, [dict(row) for row in refunds], [dict(row) for row in disputes])
