"""Calls to where a customer said: public addresses only, judged at every connection, bounded in time and size.

A name is looked up once; when any address it has may not be connected to, none is. The connection goes to one of those
very addresses, and its other end is judged again once it stands: a name that changes in between changes nothing.
TLS is for the name. Redirects are answers like any other; proxies of the environment are not heeded.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpcore
import httpx

from app.kit.destinations import Destination, RefusedDestination, Rules

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

DEADLINE_SECONDS: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 * 1024
_CONNECT_SECONDS: Final = 4.0
_ADDRESSES_TRIED: Final = 3
_LOOKING_UP_AT_ONCE: Final = 64
_NOT_PUBLIC: Final = "the host has an address that is not public"


class Unreachable(Exception):
    """There was no whole answer; the reason may be told to whoever gave the URL."""

    def __init__(self, reason: str) -> None:
        """Take the reason."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its headers by lower-case name, and the beginning of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Lookup:
    """Looks names up by the system's resolver, in threads of its own: one for each name, however many ask."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKING_UP_AT_ONCE, thread_name_prefix="lookup")
        self._looking: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return a name's addresses.

        Raises:
            OSError: it has none, or nobody could say.
        """
        key = (host, port)
        looking = self._looking.get(key)
        if looking is None:
            loop = asyncio.get_running_loop()
            looking = self._looking[key] = loop.run_in_executor(self._threads, _addresses, host, port)
            looking.add_done_callback(lambda done: (self._looking.pop(key, None), done.cancelled() or done.exception()))
        return await asyncio.shield(looking)

    def close(self) -> None:
        """End the threads that are idle; one that waits for a name ends with its answer."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass
class Egress:
    """The way out. ``resolve`` and ``context`` are the machine's own unless given."""

    rules: Rules = field(default_factory=Rules)
    context: ssl.SSLContext = field(default_factory=httpx.create_ssl_context)
    resolve: Resolve = field(default_factory=Lookup)

    async def post(
        self, url: str, *, headers: Mapping[str, str], content: bytes, deadline_seconds: float = DEADLINE_SECONDS
    ) -> Reply:
        """Send a body and return the answer, of whatever status, the first 64 KiB of its body.

        Raises:
            RefusedDestination: we don't connect there.
            Unreachable: there was no answer within the deadline, or none that can be read.
        """
        destination = self.rules.read(url)
        way = _Guarded(self.rules, self.resolve)
        try:
            async with (
                asyncio.timeout(deadline_seconds),
                _answering(way, self.context, destination, headers, content) as answer,
            ):
                return Reply(answer.status, _plain(answer.headers), await _beginning(answer))
        except TimeoutError:
            raise Unreachable(f"no whole answer within {deadline_seconds:g} seconds") from None
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, ssl.SSLError) as error:
            raise Unreachable(_reason(error)) from None
        finally:
            await way.aclose()

    async def aclose(self) -> None:
        """End what looks names up."""
        if isinstance(self.resolve, Lookup):
            self.resolve.close()


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to what the rules allow, and to nothing else."""

    def __init__(self, rules: Rules, resolve: Resolve) -> None:
        self._rules = rules
        self._resolve = resolve
        self._plain = httpcore.AnyIOBackend()
        self._opened: list[httpcore.AsyncNetworkStream] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - the library's signature; the whole call has a deadline
        local_address: str | None = None,  # noqa: ARG002 - as above
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the judged addresses that answers, and judge the other end.

        Raises:
            RefusedDestination: it may not be connected to.
            ConnectError, ConnectTimeout: nobody answers.
        """
        failure: Exception = httpcore.ConnectError("the host has no address")
        for address in (await self._judged(host, port))[:_ADDRESSES_TRIED]:
            try:
                stream = await self._plain.connect_tcp(
                    address, port, timeout=_CONNECT_SECONDS, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            self._opened.append(stream)
            self._judge_again(stream)
            return stream
        raise failure

    async def aclose(self) -> None:
        """Close what was opened: the library leaves a connection open whose TLS was given up in the middle."""
        for stream in self._opened:
            await stream.aclose()

    async def _judged(self, host: str, port: int) -> list[str]:
        """Return a host's addresses, all of which may be connected to.

        Raises:
            RefusedDestination: one of them may not, or what was answered is no address.
        """
        try:
            found = [host] if _is_address(host) else await self._resolve(host, port)
        except OSError:
            raise httpcore.ConnectError("the host name can't be resolved") from None
        if not all(_is_address(text) and self._rules.allow(ipaddress.ip_address(text)) for text in found):
            raise RefusedDestination(_NOT_PUBLIC)
        return list(dict.fromkeys(found))

    def _judge_again(self, stream: httpcore.AsyncNetworkStream) -> None:
        peer = str((stream.get_extra_info("server_addr") or ("",))[0])
        if not _is_address(peer) or not self._rules.allow(ipaddress.ip_address(peer)):
            raise RefusedDestination(_NOT_PUBLIC)


def context_trusting(ca: Path | None) -> ssl.SSLContext:
    """Return what checks certificates: by the public authorities, and by those in a file."""
    context = httpx.create_ssl_context()
    if ca is not None:
        context.load_verify_locations(ca)
    return context


@asynccontextmanager
async def _answering(
    way: _Guarded,
    context: ssl.SSLContext,
    destination: Destination,
    headers: Mapping[str, str],
    content: bytes,
) -> AsyncIterator[httpcore.Response]:
    """Send a request over a connection of its own."""
    url = httpcore.URL(
        scheme=b"https", host=destination.host.encode(), port=destination.port, target=destination.target.encode()
    )
    sent = {"Host": destination.authority, **headers, "Content-Length": str(len(content)), "Connection": "close"}
    async with (
        httpcore.AsyncConnectionPool(ssl_context=context, network_backend=way, max_connections=1) as pool,
        pool.stream("POST", url, headers=list(sent.items()), content=content) as answer,
    ):
        yield answer


async def _beginning(answer: httpcore.Response) -> bytes:
    """Read no more of a body than is kept of it."""
    body = bytearray()
    async for chunk in answer.aiter_stream():
        body += chunk
        if len(body) >= ANSWER_BYTES_MAX:
            break
    return bytes(body[:ANSWER_BYTES_MAX])


def _addresses(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _plain(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    return {str(name, "latin-1").lower(): str(value, "latin-1") for name, value in headers}


def _reason(error: Exception) -> str:
    if isinstance(error, httpcore.TimeoutException):
        return "no connection in time"
    if isinstance(error, httpcore.ProtocolError):
        return "the answer is no HTTP that we understand"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"the certificate is not trusted ({str(error).partition('failed: ')[2].partition(' (_ssl')[0]})"
    return str(error).partition("\n")[0][:200] or type(error).__name__
