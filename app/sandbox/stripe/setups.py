"""Setup intents: cards saved for later."""

from __future__ import annotations

from app.sandbox.stripe import lists
from app.sandbox.stripe.books import Books, StripeCall
from app.sandbox.stripe.cards import SETUP_AUTHENTICATION_FAILED, Decline
from app.sandbox.stripe.forms import LIST, Spec, merged
from app.sandbox.stripe.ids import chance, new_id
from app.sandbox.stripe.methods import PaymentMethods
from app.sandbox.stripe.paying import error_object
from app.sandbox.stripe.store import Obj

LIST_SPEC: Spec = LIST | {"customer": str, "payment_method": str}


class SetupIntents:
    """Cards on their way into a customer's purse."""

    def __init__(self, books: Books, methods: PaymentMethods) -> None:
        self._books = books
        self._methods = methods

    def make(self, customer: str | None, *, metadata: dict[str, str], description: str | None) -> Obj:
        """Write a new intent."""
        intent_id = new_id("seti")
        intent: Obj = {
            "id": intent_id,
            "object": "setup_intent",
            "application": None,
            "automatic_payment_methods": None,
            "cancellation_reason": None,
            "client_secret": f"{intent_id}_secret_{chance(31)}",
            "created": self._books.now(),
            "customer": customer,
            "customer_account": None,
            "description": description,
            "excluded_payment_method_types": None,
            "flow_directions": None,
            "last_setup_error": None,
            "latest_attempt": None,
            "livemode": False,
            "mandate": None,
            "metadata": merged({}, metadata),
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_configuration_details": None,
            "payment_method_options": {
                "card": {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
            },
            "payment_method_types": ["card"],
            "single_use_mandate": None,
            "status": "requires_payment_method",
            "usage": "off_session",
        }
        self._books.store.add(intent)
        self._books.emit("setup_intent.created", intent)
        return intent

    def attempt(self, intent: Obj, method: Obj) -> Decline | None:
        """Try to save a card; the intent's status tells how it went."""
        card = self._methods.card(method)
        if card.attach is not None:
            return self._fail(intent, method, card.attach)
        if card.authentication != "never":
            action = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
            self._books.change(intent, status="requires_action", next_action=action, payment_method=method["id"])
            self._books.emit("setup_intent.requires_action", intent)
            return None
        self._succeed(intent, method)
        return None

    def authenticate(self, intent: Obj, *, passed: bool) -> Decline | None:
        """Go on after the card's holder was asked."""
        method = self._books.need("payment_method", intent["payment_method"])
        if not passed:
            return self._fail(intent, method, SETUP_AUTHENTICATION_FAILED)
        self._succeed(intent, method)
        return None

    def give_up(self, intent: Obj) -> None:
        """Cancel an intent."""
        self._books.change(intent, status="canceled", cancellation_reason="abandoned", next_action=None)
        self._books.emit("setup_intent.canceled", intent)

    def get(self, call: StripeCall) -> Obj:
        """``GET /v1/setup_intents/{id}``."""
        return self._books.need("setup_intent", call.id)

    def list(self, call: StripeCall) -> Obj:
        """``GET /v1/setup_intents``."""
        rows = lists.matching(self._books.store.all("setup_intent"), call.params, "customer", "payment_method")
        return lists.page(rows, call.params, "/v1/setup_intents", noun="setup_intent")

    def _succeed(self, intent: Obj, method: Obj) -> None:
        if intent["customer"]:
            self._methods.save(method, intent["customer"], redisplay="always")
        self._books.change(
            intent, status="succeeded", payment_method=method["id"], last_setup_error=None, next_action=None
        )
        self._books.emit("setup_intent.succeeded", intent)

    def _fail(self, intent: Obj, method: Obj, decline: Decline) -> Decline:
        self._books.change(
            intent,
            status="requires_payment_method",
            payment_method=None,
            next_action=None,
            last_setup_error=error_object(decline, method),
        )
        self._books.emit("setup_intent.setup_failed", intent)
        return decline
