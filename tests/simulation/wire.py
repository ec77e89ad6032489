"""HTTP between the workers and the clouds of a simulated day: no sockets, but everything that happens on a line."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from app.sandbox.answers import TRANSPORT

PATIENCE = 30.0
"""As long as a caller waits for an answer."""
_QUIET = ("ssh", "/keypair", "/environments", "/images")
"""Calls that no time passes in: a lock is held over them, which only the one who waits could give back."""


@dataclass(frozen=True, slots=True)
class Line:
    """What goes wrong on the way, as probabilities."""

    unreachable: float = 0.0
    """No connection comes about."""
    lost_before: float = 0.0
    """The request is lost; nobody knows."""
    lost_after: float = 0.0
    """The answer is lost."""
    delayed: float = 0.0
    """The request arrives long after the caller gave up."""
    slow: float = 0.0


class Trouble:
    """What befalls the calls on one line, and how long each takes."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self.line = Line()
        self.struck: Counter[str] = Counter()

    def strike(self) -> str | None:
        """Return what befalls the next call, if anything does."""
        names = ("unreachable", "lost_before", "lost_after", "delayed", "slow")
        drawn = [name for name in names if self._random.random() < getattr(self.line, name)]
        if not drawn:
            return None
        self.struck[f"line.{drawn[0]}"] += 1
        return drawn[0]

    def brief(self) -> float:
        return self._random.uniform(0.02, 0.4)

    def slow(self) -> float:
        return self._random.uniform(4, 29)

    def delay(self) -> float:
        return self._random.uniform(60, 900)


class Wire(httpx.AsyncBaseTransport):
    """Carries requests to the sandbox's application."""

    def __init__(
        self, app: Any, trouble: Trouble, pause: Callable[[float], Awaitable[None]], sleep: Callable[[float], Any]
    ) -> None:
        self._app, self._trouble, self._pause, self._sleep = app, trouble, pause, sleep
        self._late: set[asyncio.Task[Any]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        trouble = self._trouble.strike()
        quiet = any(word in request.url.path for word in _QUIET)
        if trouble == "unreachable":
            raise httpx.ConnectError("no connection")
        if not quiet:
            await self._pause(self._trouble.brief())
        if trouble in {"lost_before", "delayed"}:
            if trouble == "delayed":
                late = asyncio.create_task(self._deliver_late(request, body, self._trouble.delay()))
                self._late.add(late)
            await self._give_up(quiet=quiet)
        response = await asyncio.create_task(self._deliver(request, body))
        if response is None:
            raise httpx.ReadError("the connection was cut")
        if trouble == "lost_after":
            await self._give_up(quiet=quiet)
        if not quiet:
            await self._pause(self._trouble.slow() if trouble == "slow" else self._trouble.brief())
        return response

    async def _give_up(self, *, quiet: bool) -> None:
        if not quiet:
            await self._pause(PATIENCE)
        raise httpx.ReadTimeout("no answer")

    async def _deliver_late(self, request: httpx.Request, body: bytes, seconds: float) -> None:
        await self._sleep(seconds)
        await self._deliver(request, body)

    async def _deliver(self, request: httpx.Request, body: bytes) -> httpx.Response | None:
        """Return the application's answer; None where it cut the connection."""
        line, said, answer = _Cut(), iter([body]), bytearray()
        begun: dict[str, Any] = {}

        async def receive() -> dict[str, Any]:
            content = next(said, None)
            if content is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                begun.update(status=message["status"], headers=message["headers"])
            else:
                answer.extend(message.get("body", b""))

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": ("clouds", 80),
            "client": ("127.0.0.1", 1),
            "root_path": "",
            TRANSPORT: line,
        }
        await self._app(scope, receive, send)
        if line.cut or not begun:
            return None
        return httpx.Response(begun["status"], headers=begun["headers"], content=bytes(answer))


class _Cut:
    """Stands in for the connection, which some answers cut."""

    cut = False

    def abort(self) -> None:
        self.cut = True
