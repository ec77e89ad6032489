"""Checkout's pages: the card form, the bank's question, the way back to the merchant; and receipts."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.sandbox.answers import Refusal
from app.sandbox.stripe.books import Books
from app.sandbox.stripe.cards import BANK_ACCOUNT, Decline
from app.sandbox.stripe.checkout import Checkout, Visit
from app.sandbox.stripe.rendering import dollars, go, over, page
from app.sandbox.stripe.store import Obj
from app.sandbox.stripe.typing_in import Typed, sent_by
from app.sandbox.stripe.webhooks import Webhooks

_WAITS_FOR_WEBHOOK_SECONDS = 5.0


class CheckoutPages:
    """What a browser sees at ``/c/pay/…``."""

    def __init__(self, books: Books, checkout: Checkout, webhooks: Webhooks) -> None:
        self._books = books
        self._checkout = checkout
        self._webhooks = webhooks

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            Route("/c/pay/{id}", self._show, methods=["GET"]),
            Route("/c/pay/{id}", self._submit, methods=["POST"]),
            Route("/c/pay/{id}/challenge", self._ask, methods=["GET"]),
            Route("/c/pay/{id}/challenge", self._answer, methods=["POST"]),
            Route("/receipts/{secret}", self._receipt, methods=["GET"]),
        ]

    async def _show(self, request: Request) -> Response:
        session = self._session(request)
        return _closed(session) or self._form(session or {}, Typed())

    async def _submit(self, request: Request) -> Response:
        session = self._session(request)
        if session is None or session["status"] != "open":
            return _closed(session) or over("", "")
        form = await sent_by(request)
        typed = Typed.of(form)
        if form.get("bank") and "us_bank_account" in session["payment_method_types"]:
            visit = Visit(BANK_ACCOUNT.number)
        elif mistake := typed.mistake(month=self._today().month, year=self._today().year):
            return self._form(session, typed, error=mistake[1], wrong=mistake[0])
        else:
            month, year = typed.month_and_year
            visit = Visit(typed.digits, exp_month=month, exp_year=year, name=typed.name, save=typed.save)
        try:
            decline = self._checkout.submit(session, visit, base_url=_base(request))
        except Refusal as refusal:
            return self._form(session, typed, error=_message(refusal), wrong="number")
        return await self._next(session, decline, typed)

    async def _ask(self, request: Request) -> Response:
        session = self._session(request)
        intent = self._checkout.intent(session) if session else None
        if session is None or session["status"] != "open":
            return _closed(session) or over("", "")
        if intent is None or intent["status"] != "requires_action":
            return go(f"/c/pay/{session['id']}")
        method = self._books.need("payment_method", intent["payment_method"])
        total = dollars(intent["amount"]) if session["mode"] == "payment" else None
        return page("challenge", total=total, last4=method["card"]["last4"])

    async def _answer(self, request: Request) -> Response:
        session = self._session(request)
        if session is None or session["status"] != "open":
            return _closed(session) or over("", "")
        passed = (await sent_by(request)).get("answer") == "approve"
        try:
            decline = self._checkout.authenticate(session, passed=passed, base_url=_base(request))
        except Refusal:
            return go(f"/c/pay/{session['id']}")
        return await self._next(session, decline, Typed())

    async def _receipt(self, request: Request) -> Response:
        ending = f"/receipts/{request.path_params['secret']}"
        charges = (row for row in self._books.store.all("charge") if (row["receipt_url"] or "").endswith(ending))
        charge = next(charges, None)
        if charge is None:
            return over("No such receipt", "This address leads nowhere.", status=404)
        card = charge["payment_method_details"].get("card")
        method = f"{card['brand'].capitalize()} •••• {card['last4']}" if card else "Bank account"
        paid_on = f"{datetime.fromtimestamp(charge['created'], UTC):%B %d, %Y}"
        return page("receipt", charge=charge, method=method, paid_on=paid_on)

    async def _next(self, session: Obj, decline: Decline | None, typed: Typed) -> Response:
        self._books.store.commit()
        if decline is not None:
            return self._form(session, typed, error=decline.message, wrong=decline.param or "number")
        if session["status"] != "complete":
            return go(f"/c/pay/{session['id']}/challenge")
        # As Stripe does: the merchant should know before the customer is back.
        event_id = self._books.store.notes(session)["completed_by"]
        await self._webhooks.delivered(event_id, within=_WAITS_FOR_WEBHOOK_SECONDS)
        return go(_return_to(session))

    def _form(self, session: Obj, typed: Typed, *, error: str | None = None, wrong: str = "") -> Response:
        notes = self._books.store.notes(session)
        return page(
            "checkout",
            status=402 if error else 200,
            session=session,
            lines=notes["line_items"],
            total=dollars(session["amount_total"] or 0),
            email=(session["customer_details"] or {}).get("email"),
            may_save=notes["wanted"]["may_save"] and session["mode"] == "payment",
            keeps=bool(notes["wanted"]["setup_future_usage"]),
            typed=typed.shown_again(),
            error=error,
            wrong=wrong,
        )

    def _session(self, request: Request) -> Obj | None:
        found = self._books.store.get("checkout.session", request.path_params["id"])
        if found is not None and found["status"] == "open" and found["expires_at"] <= self._books.now():
            return found | {"status": "expired"}
        return found

    def _today(self) -> datetime:
        return datetime.fromtimestamp(self._books.now(), UTC)


def _closed(session: Obj | None) -> Response | None:
    """Return what is seen where there is nothing to pay."""
    if session is None:
        return over("Something is not right", "This page leads nowhere: the link is wrong or cut off.", status=404)
    if session["status"] == "complete":
        return over("You're all done here", "This payment is complete.", link=_return_to(session))
    if session["status"] == "expired":
        text = "This page has timed out. Go back and begin again."
        return over("This session has expired", text, status=410, link=session["cancel_url"])
    return None


def _return_to(session: Obj) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _message(refusal: Refusal) -> str:
    error = refusal.body["error"] if isinstance(refusal.body, dict) else {}
    return str(error.get("message", "Your card was declined."))
