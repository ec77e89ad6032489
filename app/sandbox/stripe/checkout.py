"""What a visitor does at a checkout session's page, whether by hand or by a test."""

from __future__ import annotations

from dataclasses import dataclass

from app.sandbox.stripe.books import Books
from app.sandbox.stripe.cards import Decline
from app.sandbox.stripe.errors import not_allowed
from app.sandbox.stripe.intents import PaymentIntents
from app.sandbox.stripe.methods import PaymentMethods
from app.sandbox.stripe.paying import Paying
from app.sandbox.stripe.setups import SetupIntents
from app.sandbox.stripe.store import Obj


@dataclass(frozen=True, slots=True)
class Visit:
    """What the visitor typed in."""

    number: str
    exp_month: int = 12
    exp_year: int = 0
    name: str | None = None
    save: bool | None = None
    """Whether the box for later payments is ticked, where there is one."""


class Checkout:
    """The till."""

    def __init__(
        self, books: Books, intents: PaymentIntents, setups: SetupIntents, methods: PaymentMethods, paying: Paying,
        *, settles_after: float | None,
    ) -> None:  # fmt: skip
        self._books = books
        self._intents = intents
        self._setups = setups
        self._methods = methods
        self._paying = paying
        self._settles_after = settles_after

    def submit(self, session: Obj, visit: Visit, *, base_url: str) -> Decline | None:
        """Pay, or save a card; a decline leaves the session open, and so does a question to the card's holder.

        Raises:
            StripeRefusal: the session is over, or the number is no test card's.
        """
        self._need_open(session)
        card = self._methods.need_card(visit.number)
        details = session["customer_details"] or {}
        method = self._methods.make(
            card, exp_month=visit.exp_month, exp_year=visit.exp_year, name=visit.name, email=details.get("email")
        )
        if session["mode"] == "setup":
            decline = self._setups.attempt(self._books.need("setup_intent", session["setup_intent"]), method)
        else:
            intent = self._intent_of(session, save=bool(visit.save))
            decline = self._paying.attempt(intent, method, off_session=False, base_url=base_url)
        self._look(session, visit.name)
        return decline

    def authenticate(self, session: Obj, *, passed: bool, base_url: str) -> Decline | None:
        """Answer the question to the card's holder.

        Raises:
            StripeRefusal: nothing is asked.
        """
        self._need_open(session)
        intent = self.intent(session)
        if intent is None or intent["status"] != "requires_action":
            raise not_allowed("There is nothing to authenticate.")
        if session["mode"] == "setup":
            decline = self._setups.authenticate(intent, passed=passed)
        else:
            decline = self._paying.authenticate(intent, passed=passed, base_url=base_url)
        self._look(session, None)
        return decline

    def settle(self, session: Obj, *, ok: bool) -> None:
        """Tell how a payment came out that took its time.

        Raises:
            StripeRefusal: none is on its way.
        """
        intent = self.intent(session)
        if session["mode"] != "payment" or intent is None or intent["status"] != "processing":
            raise not_allowed(f"No payment is on its way for {session['id']}.")
        self._paying.finish(intent, ok=ok)
        if ok:
            self._books.change(session, payment_status="paid")
        name = "succeeded" if ok else "failed"
        self._books.emit(f"checkout.session.async_payment_{name}", session)

    def intent(self, session: Obj) -> Obj | None:
        """Return the payment or setup intent behind a session, if there is one yet."""
        found = session["setup_intent"] or session["payment_intent"]
        return self._books.store.find(found) if found else None

    def _need_open(self, session: Obj) -> None:
        if session["status"] != "open":
            raise not_allowed(f"This Checkout Session is {session['status']}.")

    def _intent_of(self, session: Obj, *, save: bool) -> Obj:
        wanted = self._books.store.notes(session)["wanted"]
        usage = wanted["setup_future_usage"] or ("off_session" if wanted["may_save"] and save else None)
        intent = self.intent(session)
        if intent is None:
            intent = self._intents.make(
                {
                    "amount": session["amount_total"],
                    "currency": session["currency"],
                    "customer": session["customer"],
                    "description": wanted["description"],
                    "metadata": wanted["metadata"],
                    "payment_method_types": session["payment_method_types"],
                    "receipt_email": wanted["receipt_email"],
                }
            )
            self._books.change(session, payment_intent=intent["id"])
        self._books.change(intent, setup_future_usage=usage)
        return intent

    def _look(self, session: Obj, name: str | None) -> None:
        """Complete the session once its intent has got so far."""
        intent = self.intent(session)
        if intent is None or intent["status"] not in {"succeeded", "processing"}:
            return
        new: Obj = {"status": "complete", "url": None}
        if session["mode"] == "payment" and intent["status"] == "succeeded":
            new["payment_status"] = "paid"
        if session["customer_details"] and name:
            new["customer_details"] = session["customer_details"] | {"name": name}
        self._books.change(session, **new)
        event = self._books.emit("checkout.session.completed", session)
        self._books.store.notes(session)["completed_by"] = event["id"]
        if intent["status"] == "processing" and self._settles_after is not None:
            self._books.agenda.add(self._books.now() + self._settles_after, session["id"])
