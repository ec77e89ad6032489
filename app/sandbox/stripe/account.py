"""The Stripe account of a sandbox: what tests and demos steer, as its owner and its customers would."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.routing import Route

from app.sandbox.stripe.balance import Balance
from app.sandbox.stripe.books import Books
from app.sandbox.stripe.cards import Decline
from app.sandbox.stripe.charges import Charges
from app.sandbox.stripe.checkout import Checkout, Visit
from app.sandbox.stripe.customers import Customers
from app.sandbox.stripe.disputes import Disputes
from app.sandbox.stripe.events import Events
from app.sandbox.stripe.intents import PaymentIntents
from app.sandbox.stripe.methods import PaymentMethods
from app.sandbox.stripe.pages import CheckoutPages
from app.sandbox.stripe.paying import Paying
from app.sandbox.stripe.portal import PortalSessions
from app.sandbox.stripe.portal_pages import PortalPages
from app.sandbox.stripe.refunds import Refunds
from app.sandbox.stripe.rest import Wire
from app.sandbox.stripe.routing import api_routes
from app.sandbox.stripe.sessions import Sessions
from app.sandbox.stripe.setups import SetupIntents
from app.sandbox.stripe.store import Obj, Store
from app.sandbox.stripe.tending import Tending
from app.sandbox.stripe.truth import StripeTruth, truth_of
from app.sandbox.stripe.webhooks import Webhooks
from app.sandbox.world import World

_TEND_SECONDS = 0.5


class CardDeclined(Exception):
    """A payment at the till was declined; the session stays open."""

    def __init__(self, decline: Decline) -> None:
        super().__init__(decline.decline_code or decline.code)
        self.decline = decline


class StripeAccount:
    """One merchant's account in test mode. Errors of its API are raised as ``Refusal``."""

    def __init__(self, world: World, *, path: Path | None) -> None:
        config, store = world.config, Store()
        settles_after = config.stripe_settle_seconds
        self._world = world
        self._path = path
        self.books = books = Books(store, world.clock)
        self.webhooks = Webhooks(
            store,
            world.clock,
            url=config.stripe_webhook_url,
            secrets=(config.stripe_webhook_secret,),
            retry_seconds=config.stripe_retry_seconds,
        )
        books.listeners.append(self.webhooks.take)
        self.balance = Balance(books)
        self.customers = Customers(books)
        self.methods = PaymentMethods(books)
        self.disputes = Disputes(books, self.balance)
        self.charges = Charges(books, self.balance)
        self.paying = Paying(books, self.methods, self.charges, self.disputes)
        self.intents = PaymentIntents(books, self.customers, self.methods, self.paying)
        self.setups = SetupIntents(books, self.methods)
        self.sessions = Sessions(
            books, self.customers, self.intents, self.setups, tax_basis_points=config.stripe_tax_basis_points
        )
        self.checkout = Checkout(
            books, self.intents, self.setups, self.methods, self.paying, settles_after=settles_after
        )
        self.refunds = Refunds(books, self.balance, self.methods, self.disputes, settles_after=settles_after)
        self.events = Events(books)
        self.portal = PortalSessions(books, self.customers)
        self.base_url = ""
        self._tending: asyncio.Task[None] | None = None
        self._due = Tending(books, self.sessions, self.checkout, self.refunds, settles_after=settles_after)
        self._wire = Wire(world, books, tend=self._due.tend)

    def routes(self) -> list[Route]:
        """Return the paths of the API and of the pages."""
        return [
            *api_routes(self, self._wire),
            *CheckoutPages(self.books, self.checkout, self.webhooks).routes(),
            *PortalPages(self.books, self.portal, self.methods, self.setups).routes(),
        ]

    def start(self, base_url: str) -> None:
        """Begin to look after what is due, and take up what was left undone."""
        self.base_url = self._world.config.stripe_pages_url or base_url
        if self._path is not None:
            self.books.store.open(self._path)
        self._due.take_up()
        self.webhooks.take_up()
        self._tending = asyncio.get_running_loop().create_task(self._tend_on())

    async def aclose(self) -> None:
        """End every task and close the file."""
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
        await self.webhooks.aclose()
        self.books.store.close()

    async def pay(
        self,
        session_id: str,
        card: str = "4242424242424242",
        *,
        save: bool | None = None,
        challenge: bool = True,
        name: str | None = "Test Visitor",
        exp_month: int = 12,
        exp_year: int = 0,
    ) -> Obj:
        """Pay at a checkout session's page, or save a card there; ``bank`` as the card pays by a bank debit.

        ``challenge`` answers the bank's question to the card's holder, when it is asked.

        Returns:
            The session as it is then.

        Raises:
            CardDeclined: the card was declined; the session stays open.
            Refusal: the session is unknown or over, or the number is no test card's.
        """
        session = self.sessions.need(session_id)
        number = "000123456789" if card == "bank" else card
        visit = Visit(number, exp_month=exp_month, exp_year=exp_year, name=name, save=save)
        decline = self.checkout.submit(session, visit, base_url=self.base_url)
        intent = self.checkout.intent(session)
        if decline is None and intent is not None and intent["status"] == "requires_action":
            decline = self.checkout.authenticate(session, passed=challenge, base_url=self.base_url)
        self.books.store.commit()
        if decline is not None:
            raise CardDeclined(decline)
        return session

    def expire(self, session_id: str) -> Obj:
        """Let an open session expire now."""
        return self._done(self.sessions.end(self.sessions.need(session_id)))

    def settle_async(self, session_id: str, *, ok: bool) -> Obj:
        """Tell how a session's bank debit came out."""
        session = self.sessions.need(session_id)
        self.checkout.settle(session, ok=ok)
        return self._done(session)

    def add_card(self, customer_id: str, card: str = "4242424242424242", *, was_set_up: bool = True) -> Obj:
        """Give a customer a saved card without a page, also one that no page would save."""
        method = self.methods.make(self.methods.need_card(card))
        return self._done(self.methods.save(method, customer_id, was_set_up=was_set_up, redisplay="always"))

    def change_card(self, payment_method_id: str, card: str) -> Obj:
        """Let a saved card behave like another from now on: it looks the same."""
        method = self.books.need("payment_method", payment_method_id)
        self.books.store.notes(method)["number"] = self.methods.need_card(card).number
        return self._done(self.books.store.touch(method))

    def renew_card(self, payment_method_id: str, *, exp_month: int, exp_year: int) -> Obj:
        """Let the card's bank tell of a new expiry."""
        method = self.books.need("payment_method", payment_method_id)
        card = method["card"] | {"exp_month": exp_month, "exp_year": exp_year}
        previous = self.books.change(method, card=card)
        self.books.emit("payment_method.automatically_updated", method, previous)
        return self._done(method)

    def detach_card(self, payment_method_id: str) -> Obj:
        """Take a card from its customer, as in the portal or the dashboard."""
        return self._done(self.methods.detach_from_customer(self.books.need("payment_method", payment_method_id)))

    def refund(self, payment_intent_id: str, amount: int | None = None, *, reason: str | None = None) -> Obj:
        """Refund a payment, or cents of it, in the dashboard."""
        return self._done(self.refunds.make(self.charge_of(payment_intent_id), amount, reason=reason))

    def settle_refund(self, refund_id: str, *, ok: bool | None = None) -> Obj:
        """Tell how a refund came out; None: as its card has it."""
        return self._done(self.refunds.settle(self.books.need("refund", refund_id), ok=ok))

    def dispute(
        self, payment_intent_id: str, *, amount: int | None = None, reason: str = "fraudulent", inquiry: bool = False
    ) -> Obj:
        """Let the cardholder's bank take a payment back, or ask about it."""
        charge = self.charge_of(payment_intent_id)
        return self._done(self.disputes.open(charge, reason=reason, amount=amount, inquiry=inquiry))

    def respond(self, dispute_id: str) -> Obj:
        """Hand in evidence in the dashboard."""
        return self._done(self.disputes.respond(self.books.need("dispute", dispute_id)))

    def escalate(self, dispute_id: str) -> Obj:
        """Make a dispute of an inquiry."""
        return self._done(self.disputes.escalate(self.books.need("dispute", dispute_id)))

    def close_dispute(self, dispute_id: str, *, won: bool, amount: int | None = None) -> Obj:
        """Decide a dispute; an inquiry just closes."""
        return self._done(self.disputes.close(self.books.need("dispute", dispute_id), won=won, amount=amount))

    def warn(self, payment_intent_id: str) -> Obj:
        """Send an early fraud warning about a payment."""
        return self._done(self.disputes.warn(self.charge_of(payment_intent_id)))

    def truth(self) -> StripeTruth:
        """Return what was really collected, refunded and taken back."""
        return truth_of(self.books.store)

    def charge_of(self, payment_intent_id: str) -> Obj:
        """Return a payment's latest charge."""
        intent = self.books.need("payment_intent", payment_intent_id)
        return self.books.need("charge", intent["latest_charge"] or "")

    async def _tend_on(self) -> None:
        while True:
            await self._world.clock.sleep(_TEND_SECONDS)
            self._due.tend()
            self.books.store.commit()

    def _done(self, obj: Obj) -> Obj:
        self.books.store.commit()
        return obj
