"""Disputes, inquiries and early fraud warnings."""

from __future__ import annotations

import copy

from app.sandbox.stripe import lists
from app.sandbox.stripe.balance import Balance
from app.sandbox.stripe.books import Books, StripeCall
from app.sandbox.stripe.errors import not_allowed
from app.sandbox.stripe.forms import LIST, Spec
from app.sandbox.stripe.ids import new_id
from app.sandbox.stripe.store import Obj

LIST_SPEC: Spec = LIST | {"charge": str, "payment_intent": str}
FEE = 1_500
_DUE_AFTER_SECONDS = 9 * 86_400
_INQUIRIES = frozenset({"warning_needs_response", "warning_under_review"})
_OPEN = _INQUIRIES | {"needs_response", "under_review"}
_EVIDENCE = (
    "access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure",
    "cancellation_rebuttal", "customer_communication", "customer_email_address", "customer_name",
    "customer_purchase_ip", "customer_signature", "duplicate_charge_documentation", "duplicate_charge_explanation",
    "duplicate_charge_id", "product_description", "receipt", "refund_policy", "refund_policy_disclosure",
    "refund_refusal_explanation", "service_date", "service_documentation", "shipping_address", "shipping_carrier",
    "shipping_date", "shipping_documentation", "shipping_tracking_number", "uncategorized_file", "uncategorized_text",
)  # fmt: skip


class Disputes:
    """What customers' banks take back, or ask about."""

    def __init__(self, books: Books, balance: Balance) -> None:
        self._books = books
        self._balance = balance

    def follow(self, charge: Obj, afterwards: str) -> None:
        """Let happen what a test card brings with it."""
        if afterwards == "warning":
            self.warn(charge)
        elif afterwards == "inquiry":
            self.open(charge, reason="fraudulent", inquiry=True)
        elif afterwards:
            self.open(charge, reason=afterwards)

    def open(self, charge: Obj, *, reason: str, amount: int | None = None, inquiry: bool = False) -> Obj:
        """Dispute a charge; money moves unless it is an inquiry.

        Raises:
            StripeRefusal: there is nothing to dispute.
        """
        amount = charge["amount"] - charge["amount_refunded"] if amount is None else amount
        if charge["status"] != "succeeded" or not 0 < amount <= charge["amount"]:
            raise not_allowed(f"Charge {charge['id']} can't be disputed for that amount.", param="amount")
        dispute = self._new(charge, amount, reason, inquiry=inquiry)
        self._books.store.add(dispute)
        self._books.change(charge, disputed=True)
        if not inquiry:
            self._take(dispute)
        self._books.emit("charge.dispute.created", dispute)
        if not inquiry:
            self._books.emit("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def respond(self, dispute: Obj) -> Obj:
        """Let evidence be looked at."""
        self._need_open(dispute)
        status = "warning_under_review" if dispute["status"].startswith("warning") else "under_review"
        details = dispute["evidence_details"] | {
            "has_evidence": True, "submission_count": 1, "submission_method": "manual",
        }  # fmt: skip
        previous = self._books.change(dispute, status=status, evidence_details=details)
        self._books.emit("charge.dispute.updated", dispute, previous)
        return dispute

    def escalate(self, dispute: Obj) -> Obj:
        """Make a dispute of an inquiry: now money moves."""
        self._need_open(dispute)
        if not dispute["status"].startswith("warning"):
            raise not_allowed(f"Dispute {dispute['id']} is no inquiry.")
        details = copy.deepcopy(dispute["payment_method_details"])
        details["card"]["case_type"] = "chargeback"
        previous = self._books.change(
            dispute, status="needs_response", is_charge_refundable=False, payment_method_details=details
        )
        self._take(dispute)
        self._books.emit("charge.dispute.updated", dispute, previous)
        self._books.emit("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def close(self, dispute: Obj, *, won: bool, amount: int | None = None) -> Obj:
        """Decide a dispute; what is won comes back, all of it or an amount. An inquiry just closes."""
        self._need_open(dispute)
        if dispute["status"].startswith("warning"):
            previous = self._books.change(dispute, status="warning_closed")
            self._books.emit("charge.dispute.closed", dispute, previous)
            return dispute
        back = amount if amount is not None else dispute["amount"]
        if not 0 < back <= dispute["amount"]:
            raise not_allowed(f"Dispute {dispute['id']} is about {dispute['amount']}.", param="amount")
        previous = self._books.change(dispute, status="won" if won else "lost")
        if won:
            self._post(dispute, back, category="dispute_reversal", fee=0)
            self._books.emit("charge.dispute.funds_reinstated", dispute)
        self._books.emit("charge.dispute.closed", dispute, previous)
        return dispute

    def close_inquiries(self, charge: Obj) -> None:
        """Close what was only asked about a charge that is fully refunded now."""
        for dispute in self._books.store.all("dispute"):
            if dispute["charge"] == charge["id"] and dispute["status"] in _INQUIRIES:
                previous = self._books.change(dispute, status="warning_closed", is_charge_refundable=False)
                self._books.emit("charge.dispute.closed", dispute, previous)

    def warn(self, charge: Obj, *, fraud_type: str = "made_with_stolen_card") -> Obj:
        """Send the card issuer's early warning of fraud."""
        warning = {
            "id": new_id("issfr"),
            "object": "radar.early_fraud_warning",
            "actionable": not charge["refunded"] and not charge["disputed"],
            "charge": charge["id"],
            "created": self._books.now(),
            "fraud_type": fraud_type,
            "livemode": False,
            "payment_intent": charge["payment_intent"],
        }
        self._books.store.add(warning)
        self._books.emit("radar.early_fraud_warning.created", warning)
        return warning

    def open_for(self, charge: Obj) -> Obj | None:
        """Return the charge's dispute that forbids a refund."""
        found = (row for row in self._books.store.all("dispute") if row["charge"] == charge["id"])
        return next((row for row in found if not row["is_charge_refundable"]), None)

    def get(self, call: StripeCall) -> Obj:
        """``GET /v1/disputes/{id}``."""
        return self._books.need("dispute", call.id)

    def list(self, call: StripeCall) -> Obj:
        """``GET /v1/disputes``."""
        rows = lists.matching(self._books.store.all("dispute"), call.params, "charge", "payment_intent")
        return lists.page(rows, call.params, "/v1/disputes", noun="dispute")

    def get_warning(self, call: StripeCall) -> Obj:
        """``GET /v1/radar/early_fraud_warnings/{id}``."""
        return self._books.need("radar.early_fraud_warning", call.id, noun="early fraud warning")

    def list_warnings(self, call: StripeCall) -> Obj:
        """``GET /v1/radar/early_fraud_warnings``."""
        rows = lists.matching(
            self._books.store.all("radar.early_fraud_warning"), call.params, "charge", "payment_intent"
        )
        return lists.page(rows, call.params, "/v1/radar/early_fraud_warnings", noun="early fraud warning")

    def _need_open(self, dispute: Obj) -> None:
        if dispute["status"] not in _OPEN:
            raise not_allowed(f"Dispute {dispute['id']} is {dispute['status']} already.")

    def _take(self, dispute: Obj) -> None:
        self._post(dispute, -dispute["amount"], category="dispute", fee=FEE)

    def _post(self, dispute: Obj, amount: int, *, category: str, fee: int) -> None:
        row = self._balance.post(
            dispute["id"], amount, kind="adjustment", category=category, fee=fee, currency=dispute["currency"]
        )
        self._books.change(dispute, balance_transactions=[*dispute["balance_transactions"], copy.deepcopy(row)])

    def _new(self, charge: Obj, amount: int, reason: str, *, inquiry: bool) -> Obj:
        now = self._books.now()
        brand = charge["payment_method_details"].get("card", {}).get("brand", "visa")
        return {
            "id": new_id("du"),
            "object": "dispute",
            "amount": amount,
            "balance_transactions": [],
            "charge": charge["id"],
            "created": now,
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": dict.fromkeys(_EVIDENCE) | {"enhanced_evidence": {}},
            "evidence_details": {
                "due_by": now + _DUE_AFTER_SECONDS,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
                "submission_method": "not_submitted",
            },
            "is_charge_refundable": inquiry,
            "livemode": False,
            "metadata": {},
            "network_reason_code": None,
            "payment_intent": charge["payment_intent"],
            "payment_method_details": {
                "type": "card",
                "card": {
                    "brand": brand,
                    "case_type": "inquiry" if inquiry else "chargeback",
                    "network": brand,
                    "network_reason_code": "10.4" if reason == "fraudulent" else "13.1",
                },
            },
            "reason": reason,
            "status": "warning_needs_response" if inquiry else "needs_response",
        }
