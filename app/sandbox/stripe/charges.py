"""Charges: one for each try to collect a payment."""

from __future__ import annotations

import copy

from app.sandbox.stripe import lists
from app.sandbox.stripe.balance import Balance, card_fee
from app.sandbox.stripe.books import Books, StripeCall
from app.sandbox.stripe.cards import Decline
from app.sandbox.stripe.forms import LIST, Spec
from app.sandbox.stripe.ids import chance, new_id
from app.sandbox.stripe.store import Obj

LIST_SPEC: Spec = LIST | {"customer": str, "payment_intent": str, "transfer_group": str}
_DESCRIPTOR = "HOURGLASS"
_UNSET = (
    "application",
    "application_fee",
    "application_fee_amount",
    "balance_transaction",
    "failure_balance_transaction",
    "failure_code",
    "failure_message",
    "on_behalf_of",
    "outcome",
    "receipt_number",
    "receipt_url",
    "review",
    "shipping",
    "source",
    "source_transfer",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
)
"""What a new charge has no value for."""


class Charges:
    """What was collected, or could not be."""

    def __init__(self, books: Books, balance: Balance) -> None:
        self._books = books
        self._balance = balance

    def succeed(self, intent: Obj, method: Obj, *, authenticated: bool, base_url: str) -> Obj:
        """Collect a payment."""
        charge = self._new(intent, method, authenticated=authenticated) | {
            "outcome": _outcome("authorized", "Payment complete.", "approved_by_network"),
            "receipt_url": f"{base_url}/receipts/{chance(40)}",
        }
        self._books.store.add(charge)
        self._collect(charge, fee=card_fee(charge["amount"]), kind="charge")
        self._books.emit("charge.succeeded", charge)
        return charge

    def fail(self, intent: Obj, method: Obj, decline: Decline) -> Obj:
        """Note that a payment was declined."""
        reason = decline.decline_code or decline.code
        charge = self._new(intent, method, authenticated=False) | {
            "amount_captured": 0,
            "captured": False,
            "failure_code": decline.code,
            "failure_message": decline.message,
            "outcome": _outcome("issuer_declined", decline.message, "declined_by_network")
            | {"advice_code": decline.advice_code, "reason": reason, "network_decline_code": "05"},
            "paid": False,
            "status": "failed",
        }
        self._books.store.add(charge)
        self._books.emit("charge.failed", charge)
        return charge

    def begin(self, intent: Obj, method: Obj, *, base_url: str) -> Obj:
        """Begin to collect a payment whose outcome comes later."""
        charge = self._new(intent, method, authenticated=False) | {
            "amount_captured": 0,
            "captured": False,
            "outcome": _outcome("authorized", "Payment complete.", "approved_by_network"),
            "paid": False,
            "receipt_url": f"{base_url}/receipts/{chance(40)}",
            "status": "pending",
        }
        self._books.store.add(charge)
        self._books.emit("charge.pending", charge)
        return charge

    def finish(self, charge: Obj, decline: Decline | None) -> None:
        """Tell how a payment that took its time came out."""
        if decline is None:
            self._books.change(charge, status="succeeded", paid=True, captured=True, amount_captured=charge["amount"])
            self._collect(charge, fee=min(500, (charge["amount"] * 8 + 500) // 1000), kind="payment")
            self._books.emit("charge.succeeded", charge)
            return
        self._books.change(charge, status="failed", failure_code=decline.code, failure_message=decline.message)
        self._books.emit("charge.failed", charge)

    def get(self, call: StripeCall) -> Obj:
        """``GET /v1/charges/{id}``."""
        return self._books.need("charge", call.id)

    def list(self, call: StripeCall) -> Obj:
        """``GET /v1/charges``."""
        rows = lists.matching(
            self._books.store.all("charge"), call.params, "customer", "payment_intent", "transfer_group"
        )
        return lists.page(rows, call.params, "/v1/charges", noun="charge")

    def _collect(self, charge: Obj, *, fee: int, kind: str) -> None:
        row = self._balance.post(
            charge["id"], charge["amount"], kind=kind, category="charge", fee=fee, currency=charge["currency"]
        )
        self._books.change(charge, balance_transaction=row["id"])

    def _new(self, intent: Obj, method: Obj, *, authenticated: bool) -> Obj:
        amount = intent["amount"]
        return {
            "id": new_id("ch"),
            "object": "charge",
            **dict.fromkeys(_UNSET),
            "amount": amount,
            "amount_captured": amount,
            "amount_refunded": 0,
            "billing_details": copy.deepcopy(method["billing_details"]),
            "calculated_statement_descriptor": _DESCRIPTOR,
            "captured": True,
            "created": self._books.now(),
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "fraud_details": {},
            "livemode": False,
            "metadata": dict(intent["metadata"]),
            "paid": True,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": _details(method, amount, authenticated=authenticated),
            "radar_options": {},
            "receipt_email": intent["receipt_email"],
            "refunded": False,
            "status": "succeeded",
        }


def _outcome(kind: str, message: str, network_status: str) -> Obj:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network_status,
        "reason": None,
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": message,
        "type": kind,
    }


def _details(method: Obj, amount: int, *, authenticated: bool) -> Obj:
    if method["type"] == "us_bank_account":
        account = {name: value for name, value in method["us_bank_account"].items() if name in _OF_BANK_ACCOUNTS}
        return {"type": "us_bank_account", "us_bank_account": account | {"payment_reference": None}}
    card = method["card"]
    unavailable = {"status": "unavailable"}
    return {
        "type": "card",
        "card": {
            "amount_authorized": amount,
            "authorization_code": None,
            "brand": card["brand"],
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": card["country"],
            "exp_month": card["exp_month"],
            "exp_year": card["exp_year"],
            "extended_authorization": {"status": "disabled"},
            "fingerprint": card["fingerprint"],
            "funding": card["funding"],
            "incremental_authorization": dict(unavailable),
            "installments": None,
            "last4": card["last4"],
            "mandate": None,
            "multicapture": dict(unavailable),
            "network": card["brand"],
            "network_token": {"used": False},
            "network_transaction_id": chance(15),
            "overcapture": {"maximum_amount_capturable": amount, **unavailable},
            "regulated_status": "unregulated",
            "three_d_secure": _THREE_D_SECURE if authenticated else None,
            "wallet": None,
        },
    }


_OF_BANK_ACCOUNTS = frozenset({
    "account_holder_type", "account_type", "bank_name", "fingerprint", "last4", "routing_number",
})  # fmt: skip
_THREE_D_SECURE = {
    "authentication_flow": "challenge",
    "electronic_commerce_indicator": "05",
    "exemption_indicator": None,
    "result": "authenticated",
    "result_reason": None,
    "transaction_id": "00000000-0000-0000-0000-000000000000",
    "version": "2.2.0",
}
