"""A port for the operator in processes that serve nothing else: ``/metrics`` for Prometheus and ``/healthz``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

_REQUEST_SECONDS = 5.0


class FiguresServer:
    """Answers GET on two paths, one request per connection."""

    def __init__(self, is_alive: Callable[[], bool], registry: CollectorRegistry) -> None:
        self._is_alive = is_alive
        self._registry = registry
        self._server: asyncio.Server | None = None

    @classmethod
    async def start(
        cls, host: str, port: int, *, is_alive: Callable[[], bool], registry: CollectorRegistry = REGISTRY
    ) -> FiguresServer:
        """Listen.

        Raises:
            OSError: the port can't be had.
        """
        served = cls(is_alive, registry)
        served._server = await asyncio.start_server(served._answer, host, port, limit=8192)
        return served

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("not started")
        return int(self._server.sockets[0].getsockname()[1])

    async def aclose(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                status, media_type, body = self._told(head.split(b"\r\n", 1)[0].split(b" "))
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n"
                    "Connection: close\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        writer.close()

    def _told(self, request: list[bytes]) -> tuple[str, str, bytes]:
        match request:
            case [b"GET", b"/metrics", *_]:
                return "200 OK", CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._registry)
            case [b"GET", b"/healthz", *_] if self._is_alive():
                return "200 OK", "application/json", b'{"status":"ok"}'
            case [b"GET", b"/healthz", *_]:
                return "503 Service Unavailable", "application/json", b'{"status":"no_heartbeat"}'
            case _:
                return "404 Not Found", "text/plain", b""
