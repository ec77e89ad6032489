"""Answers on the wire, and the ways in which they go wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from app.sandbox.faults import Fault
from app.sandbox.world import World

TRANSPORT = "hourglass.sandbox.transport"
"""Where the connection lies in the scope, for those answers that cut it."""
_HUGE_MIB = 64
_DRIPS = 64
"""Into how many pieces a dripping body is cut, if it has so many bytes."""
_GATEWAY_PAGE = "<html>\r\n<head><title>{0}</title></head>\r\n<body><center><h1>{0}</h1></center></body>\r\n</html>\r\n"


class Refusal(Exception):
    """The cloud says no, in its own words."""

    def __init__(self, status: int, body: dict[str, Any] | str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.headers = headers

    def response(self) -> Response:
        """Return it as an HTTP answer: plain text when the body is text."""
        if isinstance(self.body, str):
            media_type = "text/html" if self.body.startswith("<") else "text/plain"
            return Response(self.body, self.status, headers=self.headers, media_type=media_type)
        return json_response(self.body, status=self.status, headers=self.headers)


def gateway_page(status: int) -> Refusal:
    """Return what a gateway says when there is nothing behind it."""
    names = {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable", 504: "504 Gateway Time-out"}
    return Refusal(status, _GATEWAY_PAGE.format(names.get(status, str(status))))


def json_response(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON answer; decimals become numbers with the same digits."""
    text = json.dumps(body, default=_number, ensure_ascii=False)
    return Response(text, status, headers=headers, media_type="application/json")


def dollars_number(micros: int) -> Decimal:
    """Return micro-dollars as the dollars that the clouds send."""
    return Decimal(micros) / 1_000_000


def spoilt(response: Response, fault: Fault, world: World) -> Response:
    """Return the answer as the fault leaves it."""
    seconds = fault.wait(5.0)
    match fault.kind:
        case "timeout_after_success":
            return _Cut(0.0 if fault.mode == "drop" else fault.wait(30.0), world.closing)
        case "slow":
            return _Late(bytes(response.body), response, seconds, world, drips=fault.mode == "drip")
        case "malformed":
            return _garbage(bytes(response.body), fault.mode)
    return response


def _number(value: object) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _garbage(body: bytes, mode: str) -> Response:
    match mode:
        case "html":
            content = _GATEWAY_PAGE.format("Welcome").encode()
            return Response(content, media_type="text/html")
        case "empty":
            content = b""
        case "types":
            content = json.dumps(_retyped(json.loads(body or b"null"))).encode()
        case "duplicate_keys":
            content = _repeated(body)
        case "huge":
            return StreamingResponse(_padded(body), media_type="application/json")
        case _:
            content = body[: len(body) // 2]
    return Response(content, media_type="application/json")


def _repeated(body: bytes) -> bytes:
    """Return an object with its first key standing twice; anything else stands twice itself."""
    value = json.loads(body or b"null")
    if not isinstance(value, dict) or not value:
        return body + body
    return b"{" + json.dumps(next(iter(value))).encode() + b":null," + body.lstrip()[1:]


def _retyped(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return the same shape with every leaf of another type."""
    if isinstance(value, dict):
        return {key: _retyped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_retyped(item) for item in value]
    return {"unexpected": True} if isinstance(value, str) else f"~{value}"


async def _padded(body: bytes) -> AsyncIterator[bytes]:
    for _ in range(_HUGE_MIB):
        yield b" " * 1024 * 1024
    yield body


class _Cut(Response):
    """No answer: the connection stays silent for a while, then it is cut."""

    def __init__(self, seconds: float, closing: asyncio.Event) -> None:
        super().__init__(status_code=200)
        self.status_code = 0
        self._seconds = seconds
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - nothing is sent
        """Wait until the caller gives up, the time is over or the sandbox closes; then cut."""
        gone = asyncio.ensure_future(_disconnected(receive))
        ends = asyncio.ensure_future(self._closing.wait())
        await asyncio.wait({gone, ends}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        scope[TRANSPORT].abort()
        await gone
        ends.cancel()


class _Late(Response):
    """An answer after a while, or piece by piece over it."""

    def __init__(self, body: bytes, like: Response, seconds: float, world: World, *, drips: bool) -> None:
        super().__init__(body, like.status_code, media_type=like.media_type)
        self._seconds = seconds
        self._world = world
        self._drips = drips

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, late."""
        if not self._drips:
            await self._pause(self._seconds)
            return await super().__call__(scope, receive, send)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        size = max(1, len(self.body) // _DRIPS)
        for start in range(0, len(self.body), size):
            await self._pause(self._seconds * size / len(self.body))
            piece = bytes(self.body[start : start + size])
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return None

    async def _pause(self, seconds: float) -> None:
        if not self._world.closing.is_set():
            closing = asyncio.ensure_future(self._world.closing.wait())
            await asyncio.wait({closing}, timeout=seconds)
            closing.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
