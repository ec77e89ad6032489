"""The account's balance: one transaction for each movement, with Stripe's fee."""

from __future__ import annotations

from app.sandbox.stripe import lists
from app.sandbox.stripe.books import Books, StripeCall
from app.sandbox.stripe.forms import LIST, Spec
from app.sandbox.stripe.ids import new_id
from app.sandbox.stripe.store import Obj

_AVAILABLE_AFTER_SECONDS = 2 * 86_400
_FEE_MILLIONTHS, _FEE_FIXED = 29_000, 30
LIST_SPEC: Spec = LIST | {"currency": str, "payout": str, "source": str, "type": str}


def card_fee(amount: int) -> int:
    """Return what Stripe keeps of a card payment: 2.9 % and 30 cents."""
    return (amount * _FEE_MILLIONTHS + 500_000) // 1_000_000 + _FEE_FIXED


class Balance:
    """Balance transactions."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def post(self, source: str, amount: int, *, kind: str, category: str, fee: int = 0, currency: str = "usd") -> Obj:
        """Write a movement of the balance; money that leaves is negative."""
        now = self._books.now()
        detail = {
            "amount": fee, "application": None, "currency": currency, "type": "stripe_fee",
            "description": "Dispute fee" if category == "dispute" else "Stripe processing fees",
        }  # fmt: skip
        return self._books.store.add(
            {
                "id": new_id("txn"),
                "object": "balance_transaction",
                "amount": amount,
                "available_on": now + (_AVAILABLE_AFTER_SECONDS if category == "charge" else 0),
                "balance_type": "payments",
                "created": now,
                "currency": currency,
                "description": None,
                "exchange_rate": None,
                "fee": fee,
                "fee_details": [detail] if fee else [],
                "net": amount - fee,
                "reporting_category": category,
                "source": source,
                "status": "pending" if category == "charge" else "available",
                "type": kind,
            }
        )

    def get(self, call: StripeCall) -> Obj:
        """``GET /v1/balance_transactions/{id}``."""
        return self._aged(self._books.need("balance_transaction", call.id, noun="balance transaction"))

    def list(self, call: StripeCall) -> Obj:
        """``GET /v1/balance_transactions``."""
        rows = lists.matching(self._books.store.all("balance_transaction"), call.params, "currency", "source", "type")
        answer = lists.page(rows, call.params, "/v1/balance_transactions", noun="balance transaction")
        return answer | {"data": [self._aged(row) for row in answer["data"]]}

    def _aged(self, row: Obj) -> Obj:
        if row["status"] == "pending" and row["available_on"] <= self._books.now():
            self._books.change(row, status="available")
        return row
