"""Load over HTTP: connections kept alive, each asking again as soon as it was answered. As little work as can be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

CONNECTIONS = 16
_LENGTH = b"content-length: "

NewRequest = Callable[[], bytes]


class UnexpectedAnswerError(Exception):
    """An answer had another status than the one that is measured."""


class _Asker(asyncio.Protocol):
    def __init__(self, new_request: NewRequest, status: bytes, until: float) -> None:
        self._new_request = new_request
        self._status = status
        self._until = until
        self._buffer = b""
        self._transport: asyncio.Transport
        self.answers = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._new_request())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        start = head.find(_LENGTH)
        if not blank or len(body) < int(head[start + len(_LENGTH) :].split(b"\r\n", 1)[0]):
            return
        self._buffer = b""
        if head[9:12] != self._status:
            self._end(UnexpectedAnswerError((head + blank + body).decode(errors="replace")))
            return
        self.answers += 1
        if time.perf_counter() < self._until:
            self._transport.write(self._new_request())
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionError("the server closed the connection"))

    def _end(self, error: Exception | None) -> None:
        if not self.ended.done():
            self._transport.close()
            if error is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(error)


async def answers_per_second(port: int, new_request: NewRequest, *, status: int, seconds: float) -> float:
    """Return how many answers of the right status came per second over all connections.

    Raises:
        UnexpectedAnswerError: one had another status.
        ConnectionError: the server closed a connection.
    """
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    askers = [_Asker(new_request, str(status).encode(), began + seconds) for _ in range(CONNECTIONS)]
    for asker in askers:
        await loop.create_connection(lambda asker=asker: asker, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*(asker.ended for asker in askers))
    return sum(asker.answers for asker in askers) / (time.perf_counter() - began)


def request(method: str, path: str, *headers: str, body: str = "") -> bytes:
    """Return an HTTP request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    return "\r\n".join([*lines, "", body]).encode()
