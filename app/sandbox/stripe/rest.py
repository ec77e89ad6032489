"""Stripe's wire: key, form, idempotency, faults, expansion, and answers in its own words."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.sandbox.answers import Refusal, gateway_page, json_response, spoilt
from app.sandbox.faults import ANSWERS, Fault
from app.sandbox.stripe import forms
from app.sandbox.stripe.books import API_VERSION, Books, StripeCall
from app.sandbox.stripe.errors import StripeRefusal
from app.sandbox.stripe.expanding import expanded
from app.sandbox.stripe.idempotency import Answers
from app.sandbox.stripe.ids import new_id
from app.sandbox.stripe.store import Obj
from app.sandbox.world import CallRecord, World

PROVIDER = "stripe"
Handler = Callable[[StripeCall], Obj]
_GATEWAY_STATUSES = frozenset({502, 503, 504})
_WORDS = {
    429: ("Request rate limit exceeded. Learn more about rate limits here: https://docs.stripe.com/rate-limits", "rate_limit"),
    409: ("This object cannot be accessed right now because another API request is currently accessing it.", "lock_timeout"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request on its way through."""

    request: Request
    operation: str
    body: str
    id: str
    key: str | None


class Wire:
    """Answers calls at Stripe's paths."""

    def __init__(self, world: World, books: Books, *, tend: Callable[[], None]) -> None:
        self._world = world
        self._books = books
        self._answers = Answers(books.store)
        self._tend = tend

    def route(self, method: str, path: str, operation: str, spec: forms.Spec, handler: Handler) -> Route:
        """Return a route that does everything every call needs."""
        full = spec | {"expand": [str]}

        async def endpoint(request: Request) -> Response:
            """Answer one call."""
            raw = await request.body() if method == "POST" else request.url.query.encode()
            key = request.headers.get("idempotency-key") if method == "POST" else None
            exchange = Exchange(request, f"stripe.{operation}", raw.decode(errors="replace"), new_id("req"), key)
            return await self._answer(exchange, full, handler)

        return Route(path, endpoint, methods=[method])

    async def unknown(self, request: Request) -> Response:
        """Answer at paths that are not there."""
        return StripeRefusal(404, f"Unrecognized request URL ({request.method}: {request.url.path}).").response()

    async def _answer(self, exchange: Exchange, spec: forms.Spec, handler: Handler) -> Response:
        fault: Fault | None = None
        try:
            self._admit(exchange.request)
            fault = self._world.faults.draw(
                ANSWERS, provider=PROVIDER, operation=exchange.operation, subjects=_subjects(exchange)
            )
            response = await self._under_key(exchange, spec, handler, fault)
        except Refusal as refusal:
            response = refusal.response()
        response.headers["Request-Id"] = exchange.id
        response.headers["Stripe-Version"] = API_VERSION
        if fault and (fault.kind != "slow" or fault.mode == "drip"):
            response = spoilt(response, fault, self._world)
        self._record(exchange, response)
        return response

    async def _under_key(self, exchange: Exchange, spec: forms.Spec, handler: Handler, fault: Fault | None) -> Response:
        """Answer once for each idempotency key."""
        key, path, now = exchange.key, exchange.request.url.path, self._books.now()
        if fault and not fault.after_effect and fault.mode != "kept":
            _refuse(fault)
        if key is None:
            return await self._run(exchange, spec, handler, fault)
        if (kept := self._answers.begin(key, path, exchange.body, now=now)) is not None:
            headers = {"Idempotent-Replayed": "true", "Original-Request": kept["request_id"]}
            return json_response(kept["answer"], status=kept["status"], headers=headers | {"Idempotency-Key": key})
        try:
            response = await self._run(exchange, spec, handler, fault)
        finally:
            self._answers.end(key)
        response.headers["Idempotency-Key"] = key
        return response

    async def _run(self, exchange: Exchange, spec: forms.Spec, handler: Handler, fault: Fault | None) -> Response:
        if fault and fault.kind == "slow" and fault.mode != "drip":
            await self._wait(fault.wait(5.0))
        status, answer, kept = 200, {}, True
        try:
            if fault and fault.mode == "kept" and not fault.after_effect:
                _refuse(fault)
            call = self._read(exchange, spec)
            self._tend()
            with self._books.requested(exchange.id, exchange.key):
                found = handler(call)
            answer = expanded(self._books.store, found, call.params.get("expand", []))
        except StripeRefusal as refusal:
            status, kept = refusal.status, refusal.kept or bool(fault and fault.mode == "kept")
            answer = refusal.body if isinstance(refusal.body, dict) else {}
        if fault and fault.after_effect and fault.mode == "kept":
            status, answer = _told(fault)
        if exchange.key is not None and kept:
            self._answers.keep(
                exchange.key, exchange.request.url.path, exchange.body, now=self._books.now(), status=status,
                answer=answer, request_id=exchange.id,
            )  # fmt: skip
        self._books.store.commit()
        if fault and fault.after_effect:
            _refuse(fault)
        return json_response(answer, status=status)

    def _read(self, exchange: Exchange, spec: forms.Spec) -> StripeCall:
        request = exchange.request
        params = forms.read(forms.decode(exchange.body), spec)
        base_url = self._world.config.stripe_pages_url or str(request.base_url).rstrip("/")
        return StripeCall(exchange.operation, request.path_params, params, base_url)

    def _admit(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            key = base64.b64decode(key + "==", validate=False).decode(errors="replace").partition(":")[0]
        if not key:
            raise StripeRefusal(
                401, "You did not provide an API key. You need to provide your API key in the Authorization header."
            )
        if key.startswith(("sk_live_", "rk_live_")):
            raise StripeRefusal(401, "This is a sandbox: it takes no live keys. Keep yours away from here.")
        if key != self._world.config.stripe_key:
            raise StripeRefusal(401, f"Invalid API Key provided: {key[:7]}****{key[-4:]}")

    async def _wait(self, seconds: float) -> None:
        closing = asyncio.ensure_future(self._world.closing.wait())
        await asyncio.wait({closing}, timeout=seconds)
        closing.cancel()

    def _record(self, exchange: Exchange, response: Response) -> None:
        request = exchange.request
        at, status = self._world.clock.now(), response.status_code
        call = CallRecord(at, PROVIDER, exchange.operation, request.method, request.url.path, status)
        self._world.calls.append(call)


def _subjects(exchange: Exchange) -> frozenset[str]:
    """Return the ids that a call is about: in its path, as its key, or among its parameters."""
    values = (part.partition("=")[2] for part in exchange.body.split("&"))
    return frozenset({*map(str, exchange.request.path_params.values()), exchange.key or "", *values})


def _refuse(fault: Fault) -> None:
    """Raise what a fault says.

    Raises:
        Refusal: it is one that refuses.
    """
    match fault.kind:
        case "rate_limited":
            raise _worded(429, fault)
        case "server_error" if fault.status in _GATEWAY_STATUSES:
            raise gateway_page(fault.status or 0)
        case "server_error":
            raise _worded(fault.status or 500, fault)
        case "unauthorized":
            raise StripeRefusal(401, "Invalid API Key provided: sk_test_****")


def _worded(status: int, fault: Fault) -> StripeRefusal:
    message, code = _WORDS.get(status, ("An unknown error occurred", None))
    kind = "invalid_request_error" if status in _WORDS else "api_error"
    refusal = StripeRefusal(status, message, kind=kind, code=code)
    if fault.retry_after is not None:
        refusal.headers = {"Retry-After": fault.retry_after}
    return refusal


def _told(fault: Fault) -> tuple[int, Obj]:
    refusal = _worded(fault.status or 500, fault)
    return refusal.status, refusal.body if isinstance(refusal.body, dict) else {}
