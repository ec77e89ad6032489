"""The edge of every request, one pure ASGI layer: request id, bounds, deadlines, headers, one log event, figures.

The body must come whole within its deadline and its limit; the answer must start within the request's. A deadline
cancels the endpoint's task, and the database sees a COMMIT that was sent through to its end all the same.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.kit.ids import new_request_id
from app.web.browsing import Site
from app.web.errors import BodyTooLarge, DeadlineExceeded, RequestTimeout
from app.web.exchange import Exchange, open_exchange
from app.web.metrics import RequestMetrics
from app.web.origin import acting
from app.web.problems import as_app_error, problem

_REQUEST_ID = re.compile(rb"(?!hg_)[A-Za-z0-9_.-]{8,64}")
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)
_OVER_HTTPS = ((b"strict-transport-security", b"max-age=31536000"),)
"""No browser that was here once comes by plain http again, for a year."""
_CLOSE = {"Connection": "close"}


class AnswerCutError(Exception):
    """An answer broke off after its head was sent."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a request may send and how long it may take."""

    body_bytes: int = 1 << 20
    body_seconds: float = 10.0
    request_seconds: float = 30.0


class Edge:
    """The middleware; add it last so that it stands outermost."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        bounds: Bounds | None = None,
        metrics: RequestMetrics | None = None,
        site: Site | None = None,
    ) -> None:
        self._app = app
        self._bounds = bounds or Bounds()
        self._metrics = metrics
        self._headers = _SECURITY_HEADERS + (_OVER_HTTPS if site is not None and site.secure else ())
        self._log = structlog.get_logger(
            "hourglass.access"
        ).bind()  # bound once: binding costs more than a silent event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        exchange = open_exchange(scope, _request_id(scope))
        try:
            with acting(None):  # whom the request names acts until its end
                await self._serve(scope, receive, send, exchange)
        finally:
            self._record(scope, exchange, time.perf_counter() - started)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        deadline = asyncio.timeout(self._bounds.request_seconds)
        out = _Sender(send, exchange, deadline, self._headers)
        try:
            async with deadline:
                await self._app(scope, _Receiver(receive, scope, self._bounds), out)
        except Exception as error:  # noqa: BLE001 - the last place where an error can still be told
            told = DeadlineExceeded(headers=_CLOSE) if deadline.expired() else as_app_error(error, scope)
            if exchange.status:
                raise AnswerCutError from None  # half of it is out: only a cut connection tells the caller
            out.deadline = None
            await problem(told, scope)(scope, receive, out)

    def _record(self, scope: Scope, exchange: Exchange, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        if self._metrics is not None:
            self._metrics.observe(scope["method"], route, status=exchange.status, seconds=seconds)
        caller = exchange.principal
        self._log.info(
            "request",
            method=scope["method"],
            route=route,
            status=exchange.status,
            code=exchange.code,
            milliseconds=round(seconds * 1000, 2),
            request_id=exchange.request_id,
            account_id=caller and caller.account_id,
            key_id=caller and caller.key_id,
            user_id=caller and caller.user_id,
        )


class _Sender:
    """Puts the edge's headers on the answer and lifts the deadline when it starts: streams may last."""

    def __init__(
        self, send: Send, exchange: Exchange, deadline: asyncio.Timeout | None, headers: tuple[tuple[bytes, bytes], ...]
    ) -> None:
        self._send = send
        self._exchange = exchange
        self.deadline = deadline
        self._always = headers

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._exchange.status = message["status"]
            if self.deadline is not None and not self.deadline.expired():
                self.deadline.reschedule(None)
            message["headers"] = self._headers(message.get("headers", ()))
        await self._send(message)

    def _headers(self, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        headers = list(given)
        names = {name for name, _ in headers}
        headers.extend(pair for pair in self._always if pair[0] not in names)
        headers.append((b"x-request-id", self._exchange.request_id.encode()))
        if self._exchange.rate is not None and b"ratelimit" not in names:
            headers.extend(self._exchange.rate.raw())
        headers.extend((b"set-cookie", cookie.encode()) for cookie in self._exchange.cookies)
        return headers


class _Receiver:
    """Counts the body and bounds the time in which it comes; afterwards waits for the client's end without bound."""

    def __init__(self, receive: Receive, scope: Scope, bounds: Bounds) -> None:
        self._receive = receive
        self._bounds = bounds
        self._announced = _content_length(scope)
        self._bytes = 0
        self._complete = False
        self._ends: float | None = None

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()
        if self._announced > self._bounds.body_bytes:
            raise BodyTooLarge(headers=_CLOSE)
        message = await self._bounded()
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._bounds.body_bytes:
            raise BodyTooLarge(headers=_CLOSE)
        self._complete = not message.get("more_body", False)
        return message

    async def _bounded(self) -> Message:
        loop = asyncio.get_running_loop()
        if self._ends is None:
            self._ends = loop.time() + self._bounds.body_seconds
        try:
            async with asyncio.timeout_at(self._ends) as deadline:
                return await self._receive()
        except TimeoutError:
            if deadline.expired():
                raise RequestTimeout(headers=_CLOSE) from None
            raise


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return new_request_id()
