"""Payment intents: the calls about them."""

from __future__ import annotations

import re

from app.sandbox.stripe import lists
from app.sandbox.stripe.books import Books, StripeCall
from app.sandbox.stripe.customers import Customers
from app.sandbox.stripe.errors import StripeRefusal, unexpected_state
from app.sandbox.stripe.forms import LIST, Params, Spec, merged
from app.sandbox.stripe.ids import chance, new_id
from app.sandbox.stripe.methods import PaymentMethods
from app.sandbox.stripe.paying import Paying, card_error
from app.sandbox.stripe.store import Obj

AMOUNT_MIN, AMOUNT_MAX = 50, 99_999_999
_USAGE = ("off_session", "on_session")
CREATE: Spec = {
    "amount!": int,
    "currency!": str,
    "automatic_payment_methods": {"enabled!": bool, "allow_redirects": ("always", "never")},
    "capture_method": ("automatic", "automatic_async"),
    "confirm": bool,
    "customer": str,
    "description": str,
    "error_on_requires_action": bool,
    "metadata": dict,
    "off_session": bool,
    "payment_method": str,
    "payment_method_options": {"card": {"request_three_d_secure": ("any", "automatic", "challenge")}},
    "payment_method_types": [str],
    "receipt_email": str,
    "return_url": str,
    "setup_future_usage": _USAGE,
    "statement_descriptor_suffix": str,
    "use_stripe_sdk": bool,
}
CONFIRM: Spec = {
    "error_on_requires_action": bool,
    "off_session": bool,
    "payment_method": str,
    "receipt_email": str,
    "return_url": str,
    "setup_future_usage": _USAGE,
    "use_stripe_sdk": bool,
}
UPDATE: Spec = {"amount": int, "description": str, "metadata": dict, "receipt_email": str, "setup_future_usage": _USAGE}
CANCEL: Spec = {"cancellation_reason": ("duplicate", "fraudulent", "requested_by_customer", "abandoned")}
LIST_SPEC: Spec = LIST | {"customer": str}
SEARCH: Spec = {"query!": str, "limit": int, "page": str}
_CANCELABLE = frozenset({"requires_payment_method", "requires_confirmation", "requires_action", "processing"})
_CLAUSE = re.compile(r"(?:metadata\[['\"](?P<key>[^'\"]+)['\"]\]|(?P<field>\w+))\s*:\s*['\"]?(?P<value>[^'\"]*)['\"]?")


class PaymentIntents:
    """Payments, wanted or made."""

    def __init__(self, books: Books, customers: Customers, methods: PaymentMethods, paying: Paying) -> None:
        self._books = books
        self._customers = customers
        self._methods = methods
        self._paying = paying

    def make(self, params: Params) -> Obj:
        """Write a new intent that has not been tried yet."""
        amount, currency = params["amount"], params["currency"].lower()
        if amount < AMOUNT_MIN:
            raise StripeRefusal(400, "Amount must be at least $0.50 usd", code="amount_too_small", param="amount")
        if amount > AMOUNT_MAX:
            raise StripeRefusal(400, "Amount must be no more than $999,999.99", code="amount_too_large", param="amount")
        if params.get("customer"):
            self._customers.need(params["customer"], param="customer")
        intent_id = new_id("pi")
        types = params.get("payment_method_types")
        intent = _BLANK | {
            "id": intent_id,
            "amount": amount,
            "amount_details": {"tip": {}},
            "automatic_payment_methods": None if types else {"allow_redirects": "always", "enabled": True},
            "client_secret": f"{intent_id}_secret_{chance(24)}",
            "created": self._books.now(),
            "currency": currency,
            "customer": params.get("customer"),
            "description": params.get("description"),
            "metadata": merged({}, params.get("metadata", {})),
            "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
            "payment_method_types": types or ["card", "us_bank_account"],
            "receipt_email": params.get("receipt_email"),
            "setup_future_usage": params.get("setup_future_usage"),
            "statement_descriptor_suffix": params.get("statement_descriptor_suffix"),
        }
        self._books.store.add(intent)
        self._books.emit("payment_intent.created", intent)
        return intent

    def create(self, call: StripeCall) -> Obj:
        """``POST /v1/payment_intents``."""
        params = call.params
        if params.get("off_session") and not params.get("confirm"):
            raise StripeRefusal(400, "off_session can only be set when confirm is true.", param="off_session")
        method = None
        if params.get("payment_method"):
            method = self._methods.given(params["payment_method"], customer=params.get("customer"))
        if params.get("confirm") and method is None:
            raise StripeRefusal(
                400, "You cannot confirm this PaymentIntent because it's missing a payment method.",
                code="parameter_missing", param="payment_method",
            )  # fmt: skip
        intent = self.make(params)
        if method is not None:
            self._books.change(intent, payment_method=method["id"], status="requires_confirmation")
        return self._confirm(intent, method, call) if params.get("confirm") and method else intent

    def confirm(self, call: StripeCall) -> Obj:
        """``POST /v1/payment_intents/{id}/confirm``."""
        intent, params = self._books.need("payment_intent", call.id), call.params
        if intent["status"] not in _CANCELABLE - {"processing"}:
            raise unexpected_state(
                "payment_intent",
                f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}.",
                payment_intent=intent,
            )
        method_id = params.get("payment_method") or intent["payment_method"]
        if method_id is None:
            raise unexpected_state(
                "payment_intent", "You cannot confirm this PaymentIntent because it's missing a payment method.",
                payment_intent=intent,
            )  # fmt: skip
        method = self._methods.given(method_id, customer=intent["customer"])
        new = {name: params[name] for name in ("receipt_email", "setup_future_usage") if name in params}
        self._books.change(intent, **new)
        return self._confirm(intent, method, call)

    def update(self, call: StripeCall) -> Obj:
        """``POST /v1/payment_intents/{id}``."""
        intent, new = self._books.need("payment_intent", call.id), dict(call.params)
        if "metadata" in new:
            new["metadata"] = merged(intent["metadata"], new["metadata"])
        self._books.change(intent, **new)
        return intent

    def cancel(self, call: StripeCall) -> Obj:
        """``POST /v1/payment_intents/{id}/cancel``."""
        intent = self._books.need("payment_intent", call.id)
        if intent["status"] not in _CANCELABLE - {"processing"}:
            raise unexpected_state(
                "payment_intent",
                f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}.",
                payment_intent=intent,
            )
        return self.give_up(intent, call.params.get("cancellation_reason"))

    def give_up(self, intent: Obj, reason: str | None) -> Obj:
        """Cancel an intent."""
        self._books.change(
            intent,
            status="canceled",
            canceled_at=self._books.now(),
            cancellation_reason=reason,
            next_action=None,
        )
        self._books.emit("payment_intent.canceled", intent)
        return intent

    def get(self, call: StripeCall) -> Obj:
        """``GET /v1/payment_intents/{id}``."""
        return self._books.need("payment_intent", call.id)

    def list(self, call: StripeCall) -> Obj:
        """``GET /v1/payment_intents``."""
        rows = lists.matching(self._books.store.all("payment_intent"), call.params, "customer")
        return lists.page(rows, call.params, "/v1/payment_intents", noun="payment_intent")

    def search(self, call: StripeCall) -> Obj:
        """``GET /v1/payment_intents/search``: clauses of equality joined by AND."""
        wanted = []
        for text in call.params["query"].split(" AND "):
            clause = _CLAUSE.fullmatch(text.strip())
            if clause is None:
                raise StripeRefusal(400, f"We were unable to parse your search query: {text}", param="query")
            wanted.append(clause)
        rows = [row for row in self._books.store.all("payment_intent") if all(_fits(row, clause) for clause in wanted)]
        answer = lists.page(rows, {"limit": call.params.get("limit")}, "/v1/payment_intents/search", noun="")
        return answer | {"object": "search_result", "next_page": None}

    def _confirm(self, intent: Obj, method: Obj, call: StripeCall) -> Obj:
        off_session = bool(call.params.get("off_session"))
        decline = self._paying.attempt(intent, method, off_session=off_session, base_url=call.base_url)
        if decline is not None:
            raise card_error(decline, method, payment_intent=intent)
        return intent


def _fits(row: Obj, clause: re.Match[str]) -> bool:
    found = row["metadata"].get(clause["key"]) if clause["key"] else row.get(clause["field"])
    return found is not None and str(found) == clause["value"]


_BLANK: Obj = {
    "object": "payment_intent",
    "amount_capturable": 0,
    "amount_received": 0,
    "application": None,
    "application_fee_amount": None,
    "canceled_at": None,
    "cancellation_reason": None,
    "capture_method": "automatic_async",
    "confirmation_method": "automatic",
    "customer_account": None,
    "excluded_payment_method_types": None,
    "last_payment_error": None,
    "latest_charge": None,
    "livemode": False,
    "managed_payments": None,
    "next_action": None,
    "on_behalf_of": None,
    "payment_method": None,
    "payment_method_configuration_details": None,
    "processing": None,
    "review": None,
    "shipping": None,
    "source": None,
    "statement_descriptor": None,
    "status": "requires_payment_method",
    "transfer_data": None,
    "transfer_group": None,
}
