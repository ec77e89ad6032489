"""Checkout sessions: the calls about them. What their pages do is ``checkout``'s."""

from __future__ import annotations

from app.sandbox.stripe import lists
from app.sandbox.stripe.books import Books, StripeCall
from app.sandbox.stripe.customers import Customers
from app.sandbox.stripe.errors import StripeRefusal, not_allowed
from app.sandbox.stripe.forms import LIST, Params, Spec, merged, need_urls
from app.sandbox.stripe.ids import chance
from app.sandbox.stripe.intents import AMOUNT_MIN, PaymentIntents
from app.sandbox.stripe.ordering import CREATE, LINES, order_of
from app.sandbox.stripe.setups import SetupIntents
from app.sandbox.stripe.store import Obj

__all__ = ["CREATE", "LINES", "LIST_SPEC", "Sessions"]

LIST_SPEC: Spec = LIST | {
    "customer": str, "payment_intent": str, "status": ("open", "complete", "expired"), "subscription": str,
}  # fmt: skip
Lines = list[Obj]
_LIFE_SECONDS, _LIFE_MIN_SECONDS = 86_400, 1_800
_UNSET = (
    "after_expiration",
    "amount_subtotal",
    "amount_total",
    "client_secret",
    "collected_information",
    "consent",
    "consent_collection",
    "currency",
    "currency_conversion",
    "customer_account",
    "integration_identifier",
    "invoice",
    "invoice_creation",
    "managed_payments",
    "origin_context",
    "payment_intent",
    "payment_link",
    "payment_method_configuration_details",
    "permissions",
    "recovered_from",
    "setup_intent",
    "shipping_address_collection",
    "shipping_cost",
    "subscription",
    "total_details",
    "wallet_options",
)
"""What a new session has no value for."""
_AS_ASKED = (
    "allow_promotion_codes",
    "billing_address_collection",
    "cancel_url",
    "client_reference_id",
    "customer_email",
    "locale",
    "submit_type",
)


class Sessions:
    """Visits to the till."""

    def __init__(
        self,
        books: Books,
        customers: Customers,
        intents: PaymentIntents,
        setups: SetupIntents,
        *,
        tax_basis_points: int,
    ) -> None:
        self._books = books
        self._customers = customers
        self._intents = intents
        self._setups = setups
        self._tax_basis_points = tax_basis_points

    def create(self, call: StripeCall) -> Obj:
        """``POST /v1/checkout/sessions``."""
        params, now = call.params, self._books.now()
        need_urls(params, "success_url", "cancel_url")
        expires_at = params.get("expires_at") or now + _LIFE_SECONDS
        if not now + _LIFE_MIN_SECONDS - 60 <= expires_at <= now + _LIFE_SECONDS + 60:
            raise StripeRefusal(
                400, "`expires_at` must be between 30 minutes and 24 hours from Checkout Session creation.",
                param="expires_at",
            )  # fmt: skip
        customer = self._customers.need(params["customer"], param="customer") if params.get("customer") else None
        session_id = f"cs_test_{chance(58)}"
        session = _blank(params) | {
            "id": session_id,
            "created": now,
            "customer": customer and customer["id"],
            "customer_details": _customer_details(customer, params.get("customer_email")),
            "expires_at": expires_at,
            "url": f"{call.base_url}/c/pay/{session_id}",
        }
        lines: list[Obj] = []
        if params["mode"] == "payment":
            lines = self._price(session, params)
        else:
            session |= self._set_up(session, params)
        self._books.store.add(session, line_items=lines, wanted=_wanted(params))
        self._books.agenda.add(expires_at, session_id)
        return session

    def get(self, call: StripeCall) -> Obj:
        """``GET /v1/checkout/sessions/{id}``."""
        return self.need(call.id)

    def need(self, session_id: str) -> Obj:
        """Return a session."""
        return self._books.need("checkout.session", session_id, noun="checkout.session")

    def list(self, call: StripeCall) -> Obj:
        """``GET /v1/checkout/sessions``."""
        rows = lists.matching(
            self._books.store.all("checkout.session"), call.params, "customer", "payment_intent", "status",
            "subscription",
        )  # fmt: skip
        return lists.page(rows, call.params, "/v1/checkout/sessions", noun="checkout.session")

    def list_lines(self, call: StripeCall) -> Obj:
        """``GET /v1/checkout/sessions/{id}/line_items``."""
        rows = self._books.store.notes(self.need(call.id))["line_items"]
        return lists.page(rows[::-1], call.params, f"/v1/checkout/sessions/{call.id}/line_items", noun="line item")

    def expire(self, call: StripeCall) -> Obj:
        """``POST /v1/checkout/sessions/{id}/expire``."""
        session = self.need(call.id)
        if session["status"] != "open":
            raise not_allowed(
                'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a '
                f"status of {session['status']}."
            )
        return self.end(session)

    def end(self, session: Obj) -> Obj:
        """Let an open session expire, with what was begun in it."""
        self._books.change(session, status="expired", url=None)
        if session["payment_intent"]:
            intent = self._books.need("payment_intent", session["payment_intent"])
            if intent["status"] in {"requires_payment_method", "requires_action"}:
                self._intents.give_up(intent, "expired")
        if session["setup_intent"]:
            self._setups.give_up(self._books.need("setup_intent", session["setup_intent"]))
        self._books.emit("checkout.session.expired", session)
        return session

    def _price(self, session: Obj, params: Params) -> Lines:
        percent = self._tax_basis_points if session["automatic_tax"]["enabled"] else 0
        lines, subtotal, tax = order_of(params, tax_basis_points=percent)
        if subtotal + tax < AMOUNT_MIN:
            raise StripeRefusal(
                400, "The Checkout Session's total amount due must add up to at least $0.50 usd",
                code="amount_too_small",
            )  # fmt: skip
        session |= {
            "amount_subtotal": subtotal,
            "amount_total": subtotal + tax,
            "currency": lines[0]["currency"],
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": tax},
        }
        return lines

    def _set_up(self, session: Obj, params: Params) -> Obj:
        if not any(params.get(name) for name in ("currency", "allowed_payment_method_types", "payment_method_types")):
            raise StripeRefusal(
                400, "Missing required param: currency. In setup mode it is required with dynamic payment methods.",
                code="parameter_missing", param="currency",
            )  # fmt: skip
        data = params.get("setup_intent_data", {})
        intent = self._setups.make(
            session["customer"], metadata=data.get("metadata", {}), description=data.get("description")
        )
        return {
            "currency": params.get("currency"),
            "payment_status": "no_payment_required",
            "setup_intent": intent["id"],
        }


def _wanted(params: Params) -> Obj:
    """Return what the payment will be made with."""
    data = params.get("payment_intent_data", {})
    options = params.get("payment_method_options", {}).get("card", {})
    return {
        "description": data.get("description"),
        "metadata": data.get("metadata", {}),
        "receipt_email": data.get("receipt_email"),
        "setup_future_usage": data.get("setup_future_usage") or options.get("setup_future_usage"),
        "may_save": params.get("saved_payment_method_options", {}).get("payment_method_save") == "enabled",
    }


def _customer_details(customer: Obj | None, email: str | None) -> Obj | None:
    email = customer["email"] if customer else email
    if customer is None and email is None:
        return None
    return {
        "address": None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": None,
    }


def _blank(params: Params) -> Obj:
    tax = bool(params.get("automatic_tax", {}).get("enabled"))
    saving = params.get("saved_payment_method_options", {})
    types = ["card", "us_bank_account"] if params["mode"] == "payment" else ["card"]
    return {
        "object": "checkout.session",
        **dict.fromkeys(_UNSET),
        **{name: params.get(name) for name in _AS_ASKED},
        "adaptive_pricing": {"enabled": params.get("adaptive_pricing", {}).get("enabled") is not False}
        if params["mode"] == "payment"
        else None,
        "automatic_tax": {
            "enabled": tax, "liability": {"type": "self"} if tax else None, "provider": "stripe" if tax else None,
            "status": "complete" if tax else None,
        },
        "custom_fields": [],
        "custom_text": {
            "after_submit": None, "shipping_address": None, "submit": params.get("custom_text", {}).get("submit"),
            "terms_of_service_acceptance": None,
        },
        "customer_creation": None if params.get("customer") else "if_required",
        "discounts": [],
        "livemode": False,
        "metadata": merged({}, params.get("metadata", {})),
        "mode": params["mode"],
        "payment_method_collection": "if_required",
        "payment_method_options": {},
        "payment_method_types": params.get("payment_method_types")
        or [kind for kind in types if kind in (params.get("allowed_payment_method_types") or types)],
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "saved_payment_method_options": {
            "allow_redisplay_filters": ["always"], "payment_method_remove": saving.get("payment_method_remove"),
            "payment_method_save": saving.get("payment_method_save"),
        } if params.get("customer") else None,
        "shipping_options": [],
        "status": "open",
        "success_url": params["success_url"],
        "ui_mode": "hosted_page",
    }  # fmt: skip
