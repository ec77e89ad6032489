"""How a payment goes: from the try to its success, its decline, or the question to the card's holder."""

from __future__ import annotations

import copy
from dataclasses import asdict

from app.sandbox.stripe.books import Books
from app.sandbox.stripe.cards import AUTHENTICATION, AUTHENTICATION_FAILED, BANK_ACCOUNT, Card, Decline
from app.sandbox.stripe.charges import Charges
from app.sandbox.stripe.disputes import Disputes
from app.sandbox.stripe.errors import StripeRefusal
from app.sandbox.stripe.methods import PaymentMethods
from app.sandbox.stripe.store import Obj

BANK_REFUSED = Decline(
    "payment_method_provider_decline", "The bank account could not be debited.", "insufficient_funds"
)


class Paying:
    """Moves payment intents along."""

    def __init__(self, books: Books, methods: PaymentMethods, charges: Charges, disputes: Disputes) -> None:
        self._books = books
        self._methods = methods
        self._charges = charges
        self._disputes = disputes

    def attempt(self, intent: Obj, method: Obj, *, off_session: bool, base_url: str) -> Decline | None:
        """Try to collect; afterwards the intent's status tells how it went, and a decline is returned as well."""
        card = self._methods.card(method)
        if card is BANK_ACCOUNT:
            self._begin(intent, method, base_url=base_url)
            return None
        if card.asks_authentication(off_session=off_session, was_set_up=self._methods.was_set_up(method)):
            if off_session:
                return self._decline(intent, method, AUTHENTICATION)
            self._ask(intent, method)
            return None
        return self._collect(intent, method, card, authenticated=False, base_url=base_url)

    def authenticate(self, intent: Obj, *, passed: bool, base_url: str) -> Decline | None:
        """Go on after the card's holder was asked."""
        method = self._books.need("payment_method", intent["payment_method"])
        if not passed:
            return self._decline(intent, method, AUTHENTICATION_FAILED, with_charge=False)
        return self._collect(intent, method, self._methods.card(method), authenticated=True, base_url=base_url)

    def finish(self, intent: Obj, *, ok: bool) -> None:
        """Tell how a bank debit came out."""
        charge = self._books.need("charge", intent["latest_charge"])
        if ok:
            self._charges.finish(charge, None)
            self._books.change(intent, status="succeeded", amount_received=intent["amount"], processing=None)
            self._books.emit("payment_intent.succeeded", intent)
            return
        self._charges.finish(charge, BANK_REFUSED)
        self._fail(intent, self._books.need("payment_method", charge["payment_method"]), BANK_REFUSED, charge["id"])

    def _collect(self, intent: Obj, method: Obj, card: Card, *, authenticated: bool, base_url: str) -> Decline | None:
        if card.charge is not None:
            return self._decline(intent, method, card.charge)
        charge = self._charges.succeed(intent, method, authenticated=authenticated, base_url=base_url)
        self._books.change(
            intent,
            status="succeeded",
            amount_received=intent["amount"],
            latest_charge=charge["id"],
            payment_method=method["id"],
            last_payment_error=None,
            next_action=None,
        )
        self._keep(intent, method)
        self._books.emit("payment_intent.succeeded", intent)
        self._disputes.follow(charge, card.afterwards)
        return None

    def _begin(self, intent: Obj, method: Obj, *, base_url: str) -> None:
        charge = self._charges.begin(intent, method, base_url=base_url)
        self._books.change(
            intent,
            status="processing",
            latest_charge=charge["id"],
            payment_method=method["id"],
            last_payment_error=None,
        )
        self._keep(intent, method)
        self._books.emit("payment_intent.processing", intent)

    def _keep(self, intent: Obj, method: Obj) -> None:
        if intent["setup_future_usage"] and intent["customer"]:
            self._methods.save(method, intent["customer"])

    def _ask(self, intent: Obj, method: Obj) -> None:
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
        self._books.change(intent, status="requires_action", next_action=action, payment_method=method["id"])
        self._books.emit("payment_intent.requires_action", intent)

    def _decline(self, intent: Obj, method: Obj, decline: Decline, *, with_charge: bool = True) -> Decline:
        charge = self._charges.fail(intent, method, decline) if with_charge else None
        self._fail(intent, method, decline, charge["id"] if charge else None)
        return decline

    def _fail(self, intent: Obj, method: Obj, decline: Decline, charge_id: str | None) -> None:
        self._books.change(
            intent,
            status="requires_payment_method",
            payment_method=None,
            next_action=None,
            processing=None,
            latest_charge=charge_id or intent["latest_charge"],
            last_payment_error=error_object(decline, method, charge=charge_id),
        )
        self._books.emit("payment_intent.payment_failed", intent)


def error_object(decline: Decline, method: Obj, *, charge: str | None = None) -> Obj:
    """Return a decline as an intent remembers it."""
    told = {name: value for name, value in asdict(decline).items() if value is not None}
    found: Obj = {"type": "card_error", **told, "payment_method": copy.deepcopy(method)}
    found["doc_url"] = f"https://docs.stripe.com/error-codes#{decline.code.replace('_', '-')}"
    return found | ({"charge": charge} if charge else {})


def card_error(decline: Decline, method: Obj, **intent: Obj) -> StripeRefusal:
    """Return the 402 that a caller gets, with the whole intent as it is now."""
    told = error_object(decline, method)
    charge = next((found["latest_charge"] for found in intent.values() if found.get("latest_charge")), None)
    more = {name: told[name] for name in ("advice_code", "decline_code", "payment_method") if name in told}
    return StripeRefusal(
        402,
        decline.message,
        kind="card_error",
        code=decline.code,
        param=decline.param,
        kept=True,
        **more,
        **({"charge": charge} if charge else {}),
        **{name: copy.deepcopy(found) for name, found in intent.items()},
    )
