"""Refunds."""

from __future__ import annotations

from app.sandbox.stripe import lists
from app.sandbox.stripe.balance import Balance
from app.sandbox.stripe.books import Books, StripeCall
from app.sandbox.stripe.disputes import Disputes
from app.sandbox.stripe.errors import StripeRefusal, not_allowed
from app.sandbox.stripe.forms import LIST, Spec, merged
from app.sandbox.stripe.ids import new_id
from app.sandbox.stripe.methods import PaymentMethods
from app.sandbox.stripe.store import Obj

CREATE: Spec = {
    "amount": int,
    "charge": str,
    "metadata": dict,
    "payment_intent": str,
    "reason": ("duplicate", "fraudulent", "requested_by_customer"),
}
UPDATE: Spec = {"metadata": dict}
LIST_SPEC: Spec = LIST | {"charge": str, "payment_intent": str}


class Refunds:
    """Money on its way back to cards."""

    def __init__(
        self,
        books: Books,
        balance: Balance,
        methods: PaymentMethods,
        disputes: Disputes,
        *,
        settles_after: float | None,
    ) -> None:
        self._books = books
        self._balance = balance
        self._methods = methods
        self._disputes = disputes
        self._settles_after = settles_after

    def make(
        self, charge: Obj, amount: int | None, *, reason: str | None = None, metadata: dict[str, str] | None = None
    ) -> Obj:
        """Refund all that is left of a charge, or an amount.

        Raises:
            StripeRefusal: it was not paid, was refunded or disputed, or there is not so much left.
        """
        rest = self._refundable(charge, amount)
        amount = rest if amount is None else amount
        card = self._methods.card(self._books.need("payment_method", charge["payment_method"]))
        pending = card.refund == "pending"
        refund = self._new(charge, amount, reason, metadata or {}) | {
            "status": "pending" if pending else "succeeded",
            **({"pending_reason": "processing"} if pending else {}),
        }
        self._books.store.add(refund, will_fail=card.refund == "fails")
        row = self._post(refund, -amount, kind="refund")
        self._books.change(refund, balance_transaction=row["id"])
        before = self._set_refunded(charge, charge["amount_refunded"] + amount)
        self._books.emit("refund.created", refund)
        self._books.emit("charge.refunded", charge, before)
        if charge["refunded"]:
            self._disputes.close_inquiries(charge)
        if card.refund != "succeeded" and self._settles_after is not None:
            self._books.agenda.add(self._books.now() + self._settles_after, refund["id"])
        return refund

    def settle(self, refund: Obj, *, ok: bool | None = None) -> Obj:
        """Tell how a refund came out: as its card has it, or as told. One that succeeded may fail afterwards.

        Raises:
            StripeRefusal: it failed already, or succeeded and shall succeed.
        """
        if ok is None:
            ok = not self._books.store.notes(refund)["will_fail"]
        if refund["status"] not in {"pending", "succeeded"} or (ok and refund["status"] == "succeeded"):
            raise not_allowed(f"Refund {refund['id']} is {refund['status']} already.")
        if ok:
            previous = self._books.change(refund, status="succeeded", pending_reason=None)
            self._books.emit("refund.updated", refund, previous)
            return refund
        charge = self._books.need("charge", refund["charge"])
        row = self._post(refund, refund["amount"], kind="refund_failure")
        previous = self._books.change(
            refund,
            status="failed",
            pending_reason=None,
            failure_reason="expired_or_canceled_card",
            failure_balance_transaction=row["id"],
        )
        before = self._set_refunded(charge, charge["amount_refunded"] - refund["amount"])
        self._books.emit("refund.updated", refund, previous)
        self._books.emit("refund.failed", refund, previous)
        self._books.emit("charge.updated", charge, before)
        return refund

    def create(self, call: StripeCall) -> Obj:
        """``POST /v1/refunds``."""
        params = call.params
        if not params.get("payment_intent") and not params.get("charge"):
            raise StripeRefusal(
                400, "One of the following params should be provided for this request: payment_intent or charge.",
                code="parameter_missing",
            )  # fmt: skip
        if params.get("amount") is not None and params["amount"] <= 0:
            raise StripeRefusal(400, "Invalid positive integer", code="parameter_invalid_integer", param="amount")
        charge = self._charge_of(params.get("payment_intent"), params.get("charge"))
        return self.make(
            charge, params.get("amount"), reason=params.get("reason"), metadata=merged({}, params.get("metadata", {}))
        )

    def update(self, call: StripeCall) -> Obj:
        """``POST /v1/refunds/{id}``."""
        refund = self._books.need("refund", call.id)
        metadata = merged(refund["metadata"], call.params.get("metadata", {}))
        if previous := self._books.change(refund, metadata=metadata):
            self._books.emit("refund.updated", refund, previous)
        return refund

    def get(self, call: StripeCall) -> Obj:
        """``GET /v1/refunds/{id}``."""
        return self._books.need("refund", call.id)

    def list(self, call: StripeCall) -> Obj:
        """``GET /v1/refunds``."""
        rows = lists.matching(self._books.store.all("refund"), call.params, "charge", "payment_intent")
        return lists.page(rows, call.params, "/v1/refunds", noun="refund")

    def _charge_of(self, intent_id: str | None, charge_id: str | None) -> Obj:
        if charge_id is None:
            intent = self._books.need("payment_intent", intent_id or "", param="payment_intent")
            charge_id = intent["latest_charge"]
            if intent["status"] != "succeeded" or charge_id is None:
                raise not_allowed(
                    f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                    param="payment_intent",
                )
        return self._books.need("charge", charge_id, param="charge")

    def _refundable(self, charge: Obj, amount: int | None) -> int:
        if charge["status"] != "succeeded":
            raise not_allowed(f"Charge {charge['id']} was not paid.", param="charge")
        if self._disputes.open_for(charge):
            raise not_allowed(
                f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
            )
        rest: int = charge["amount"] - charge["amount_refunded"]
        if not rest:
            raise not_allowed(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
        if amount is not None and amount > rest:
            raise not_allowed(
                f"Refund amount (${amount / 100:.2f}) is greater than unrefunded amount on charge (${rest / 100:.2f})",
                param="amount",
            )
        return rest

    def _set_refunded(self, charge: Obj, amount: int) -> Obj:
        return self._books.change(charge, amount_refunded=amount, refunded=amount == charge["amount"])

    def _post(self, refund: Obj, amount: int, *, kind: str) -> Obj:
        return self._balance.post(refund["id"], amount, kind=kind, category=kind, currency=refund["currency"])

    def _new(self, charge: Obj, amount: int, reason: str | None, metadata: dict[str, str]) -> Obj:
        return {
            "id": new_id("re"),
            "object": "refund",
            "amount": amount,
            "balance_transaction": None,
            "charge": charge["id"],
            "created": self._books.now(),
            "currency": charge["currency"],
            "customer": charge["customer"],
            "customer_account": None,
            "destination_details": {
                "card": {
                    "reference_status": "pending",
                    "reference_type": "acquirer_reference_number",
                    "type": "refund",
                },
                "type": "card",
            },
            "metadata": metadata,
            "payment_intent": charge["payment_intent"],
            "payment_method": charge["payment_method"],
            "reason": reason,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "transfer_reversal": None,
        }
