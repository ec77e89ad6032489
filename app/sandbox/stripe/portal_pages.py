"""The portal's page: a customer's cards, to see, remove and add."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.sandbox.stripe.books import Books
from app.sandbox.stripe.cards import Decline, card_numbered
from app.sandbox.stripe.methods import PaymentMethods
from app.sandbox.stripe.portal import PortalSessions
from app.sandbox.stripe.rendering import go, over, page
from app.sandbox.stripe.setups import SetupIntents
from app.sandbox.stripe.store import Obj
from app.sandbox.stripe.typing_in import Typed, sent_by

_OPEN_SECONDS = 3_600
_NO_TEST_CARD = "Your card was declined. This is a sandbox: only test cards are taken."


class PortalPages:
    """What a browser sees at ``/p/session/…``."""

    def __init__(self, books: Books, portal: PortalSessions, methods: PaymentMethods, setups: SetupIntents) -> None:
        self._books = books
        self._portal = portal
        self._methods = methods
        self._setups = setups

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            Route("/p/session/{secret}", self._show, methods=["GET"]),
            Route("/p/session/{secret}/remove", self._remove, methods=["POST"]),
            Route("/p/session/{secret}/add", self._add, methods=["POST"]),
            Route("/p/session/{secret}/challenge/{intent}", self._ask, methods=["GET"]),
            Route("/p/session/{secret}/challenge/{intent}", self._answer, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        session = self._session(request)
        return self._page(session, Typed()) if session else _closed()

    async def _remove(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return _closed()
        method = self._books.store.get("payment_method", (await sent_by(request)).get("method", ""))
        if method is not None and method["customer"] == session["customer"]:
            self._methods.detach_from_customer(method)
            self._books.store.commit()
        return go(_here(session))

    async def _add(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return _closed()
        typed = Typed.of(await sent_by(request))
        today = datetime.fromtimestamp(self._books.now(), UTC)
        if mistake := typed.mistake(month=today.month, year=today.year):
            return self._page(session, typed, error=mistake[1], wrong=mistake[0])
        card = card_numbered(typed.digits)
        if card is None:
            return self._page(session, typed, error=_NO_TEST_CARD, wrong="number")
        month, year = typed.month_and_year
        method = self._methods.make(card, exp_month=month, exp_year=year, name=typed.name)
        intent = self._setups.make(session["customer"], metadata={}, description=None)
        return self._next(session, intent, self._setups.attempt(intent, method), typed)

    async def _ask(self, request: Request) -> Response:
        session, intent = self._session(request), self._asked(request)
        if session is None or intent is None:
            return _closed()
        method = self._books.need("payment_method", intent["payment_method"])
        return page("challenge", total=None, last4=method["card"]["last4"])

    async def _answer(self, request: Request) -> Response:
        session, intent = self._session(request), self._asked(request)
        if session is None or intent is None:
            return _closed()
        passed = (await sent_by(request)).get("answer") == "approve"
        return self._next(session, intent, self._setups.authenticate(intent, passed=passed), Typed())

    def _next(self, session: Obj, intent: Obj, decline: Decline | None, typed: Typed) -> Response:
        if decline is None and intent["status"] == "succeeded":
            self._make_default(intent)
        self._books.store.commit()
        if decline is not None:
            return self._page(session, typed, error=decline.message, wrong=decline.param or "number")
        if intent["status"] != "succeeded":
            return go(f"{_here(session)}/challenge/{intent['id']}")
        after = (session["flow"] or {}).get("after_completion") or {}
        if after.get("type") == "redirect":
            return go(after["redirect"]["return_url"])
        return go(_here(session))

    def _make_default(self, intent: Obj) -> None:
        customer = self._books.need("customer", intent["customer"])
        settings = customer["invoice_settings"] | {"default_payment_method": intent["payment_method"]}
        previous = self._books.change(customer, invoice_settings=settings)
        self._books.emit("customer.updated", customer, previous)

    def _page(self, session: Obj, typed: Typed, *, error: str | None = None, wrong: str = "") -> Response:
        customer = self._books.need("customer", session["customer"])
        methods = [
            row
            for row in self._books.store.all("payment_method")
            if row["customer"] == customer["id"] and row["type"] == "card"
        ]
        return page(
            "portal",
            status=402 if error else 200,
            session=session,
            here=_here(session),
            methods=methods,
            default=customer["invoice_settings"]["default_payment_method"],
            email=customer["email"],
            typed=typed.shown_again(),
            error=error,
            wrong=wrong,
        )

    def _session(self, request: Request) -> Obj | None:
        found = self._portal.opened_by(request.path_params["secret"])
        return found if found and self._books.now() < found["created"] + _OPEN_SECONDS else None

    def _asked(self, request: Request) -> Obj | None:
        session = self._session(request)
        intent = self._books.store.get("setup_intent", request.path_params["intent"])
        if session is None or intent is None or intent["customer"] != session["customer"]:
            return None
        return intent if intent["status"] == "requires_action" else None


def _closed() -> Response:
    return over("This session has ended", "Ask for a new link to look after your cards.", status=404)


def _here(session: Obj) -> str:
    """Return the page's path."""
    return "/p/session/" + str(session["url"]).rpartition("/")[2]
