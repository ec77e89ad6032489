"""Payment methods: cards, and bank accounts, of customers."""

from __future__ import annotations

from app.sandbox.stripe import lists
from app.sandbox.stripe.books import Books, StripeCall
from app.sandbox.stripe.cards import BANK_ACCOUNT, TOKENS, Card, card_numbered
from app.sandbox.stripe.errors import StripeRefusal, missing, not_allowed
from app.sandbox.stripe.forms import LIST, Spec, merged
from app.sandbox.stripe.ids import new_id
from app.sandbox.stripe.store import Obj

_TYPES = ("card", "us_bank_account")
LIST_SPEC: Spec = LIST | {"customer": str, "type": _TYPES, "allow_redisplay": ("always", "limited", "unspecified")}
ATTACH: Spec = {"customer!": str}
UPDATE: Spec = {"metadata": dict, "allow_redisplay": ("always", "limited", "unspecified")}
NO_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


class PaymentMethods:
    """What customers pay with."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def make(
        self, card: Card, *, exp_month: int = 12, exp_year: int = 0, name: str | None = None, email: str | None = None
    ) -> Obj:
        """Return a new payment method of no customer."""
        year = exp_year or 1970 + self._books.now() // 31_556_952 + 4
        method: Obj = {
            "id": new_id("pm"),
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": {
                "address": NO_ADDRESS, "email": email, "name": name, "phone": None, "tax_id": None,
            },
            "created": self._books.now(),
            "customer": None,
            "customer_account": None,
            "livemode": False,
            "metadata": {},
        }  # fmt: skip
        if card is BANK_ACCOUNT:
            method |= {"type": "us_bank_account", "us_bank_account": _bank_account(card)}
        else:
            method |= {"type": "card", "card": _card(card, exp_month, year)}
        return self._books.store.add(method, number=card.number, was_set_up=False)

    def card(self, method: Obj) -> Card:
        """Return the card behind a payment method."""
        return card_numbered(self._books.store.notes(method)["number"]) or BANK_ACCOUNT

    def was_set_up(self, method: Obj) -> bool:
        """Whether its holder confirmed that it may be charged later."""
        return bool(self._books.store.notes(method)["was_set_up"])

    def given(self, method_id: str, *, customer: str | None, param: str = "payment_method") -> Obj:
        """Return the method that a call names, which must be the customer's.

        Raises:
            StripeRefusal: it is unknown, was detached, or is another's.
        """
        if method_id in TOKENS:
            method = self.make(self.need_card(TOKENS[method_id]))
            return self.save(method, customer) if customer else method
        method = self._books.need("payment_method", method_id, noun="PaymentMethod", param=param)
        if method["customer"] is None and self._books.store.notes(method).get("detached"):
            raise not_allowed(
                f"The provided PaymentMethod ({method_id}) was detached from its Customer and may not be used again.",
                param=param,
            )
        if method["customer"] != customer:
            raise not_allowed(f"The PaymentMethod {method_id} does not belong to the Customer {customer}.", param=param)
        return method

    def need_card(self, number: str) -> Card:
        """Return the test card with a number.

        Raises:
            StripeRefusal: it is none.
        """
        card = card_numbered(number)
        if card is None:
            raise StripeRefusal(
                402, "Your card was declined. Your request was in test mode, but used a non test card.",
                kind="card_error", code="card_declined", decline_code="test_mode_live_card", param="number",
            )  # fmt: skip
        return card

    def save(self, method: Obj, customer: str, *, was_set_up: bool = True, redisplay: str = "") -> Obj:
        """Attach a method to its customer, who agreed to later charges."""
        notes = self._books.store.notes(method)
        notes["was_set_up"] = notes["was_set_up"] or was_set_up
        new = {"customer": customer} | ({"allow_redisplay": redisplay} if redisplay else {})
        is_new = method["customer"] is None
        self._books.change(method, **new)
        if is_new:
            self._books.emit("payment_method.attached", method)
        return method

    def detach_from_customer(self, method: Obj) -> Obj:
        """Take a method from its customer for good."""
        previous = self._books.change(method, customer=None)
        self._books.store.notes(method)["detached"] = True
        self._books.emit("payment_method.detached", method, previous)
        return method

    def get(self, call: StripeCall) -> Obj:
        """``GET /v1/payment_methods/{id}``, or within a customer's path."""
        method = self._books.need("payment_method", call.path.get("method", call.id), noun="PaymentMethod")
        if "method" in call.path and method["customer"] != call.id:
            raise missing("PaymentMethod", method["id"])
        return method

    def list(self, call: StripeCall) -> Obj:
        """``GET /v1/payment_methods?customer=`` and ``GET /v1/customers/{id}/payment_methods``."""
        owner = call.path.get("id") or call.params.get("customer")
        if owner is None:
            raise StripeRefusal(400, "Missing required param: customer.", code="parameter_missing", param="customer")
        self._books.need("customer", owner, param=None if "id" in call.path else "customer")
        rows = lists.matching(
            self._books.store.all("payment_method"), {**call.params, "customer": owner}, "customer", "type",
            "allow_redisplay",
        )  # fmt: skip
        url = f"/v1/customers/{owner}/payment_methods" if "id" in call.path else "/v1/payment_methods"
        return lists.page(rows, call.params, url, noun="PaymentMethod")

    def attach(self, call: StripeCall) -> Obj:
        """``POST /v1/payment_methods/{id}/attach``."""
        customer = self._books.need("customer", call.params["customer"], param="customer")["id"]
        if call.id in TOKENS:
            method = self.make(self.need_card(TOKENS[call.id]))
        else:
            method = self._books.need("payment_method", call.id, noun="PaymentMethod")
        if method["customer"] not in {None, customer} or self._books.store.notes(method).get("detached"):
            raise not_allowed("The payment method you provided has already been attached to a customer.")
        return self.save(method, customer, was_set_up=False)

    def detach(self, call: StripeCall) -> Obj:
        """``POST /v1/payment_methods/{id}/detach``."""
        method = self._books.need("payment_method", call.id, noun="PaymentMethod")
        if method["customer"] is None:
            raise not_allowed(
                "The payment method you provided is not attached to a customer so detachment is impossible.",
            )
        return self.detach_from_customer(method)

    def update(self, call: StripeCall) -> Obj:
        """``POST /v1/payment_methods/{id}``."""
        method, new = self._books.need("payment_method", call.id, noun="PaymentMethod"), dict(call.params)
        if "metadata" in new:
            new["metadata"] = merged(method["metadata"], new["metadata"])
        if previous := self._books.change(method, **new):
            self._books.emit("payment_method.updated", method, previous)
        return method


def _card(card: Card, exp_month: int, exp_year: int) -> Obj:
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": exp_month,
        "exp_year": exp_year,
        "fingerprint": card.fingerprint,
        "funding": card.funding,
        "generated_from": None,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _bank_account(card: Card) -> Obj:
    return {
        "account_holder_type": "company",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "financial_connections_account": None,
        "fingerprint": card.fingerprint,
        "last4": card.number[-4:],
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": "110000000",
        "status_details": None,
    }
