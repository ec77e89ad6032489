"""How we speak HTTP with a cloud: deadlines, a bound on the answer, pacing, retries of reading calls only.

A reading call that fails is ``Unavailable``: nothing changed. A changing call is sent once; whatever leaves its outcome
open (a time-out, a cut connection, 5xx, an answer that can't be read) is ``OutcomeUnknown``. Only when no connection
came about is a changing call ``Unavailable``, since then nothing was sent.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

import httpx

from app.kit.authorities import trusted
from app.providers.errors import (
    Gone,
    NoCapacity,
    NotYet,
    OutcomeUnknown,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from app.providers.pacing import Pacer
from app.providers.reading import Malformed, read_json
from app.providers.retry_after import retry_after_seconds

T = TypeVar("T")

OnCall = Callable[[str, str, str, float], None]
"""Told of every HTTP call: provider, operation, outcome (``ok``, ``cancelled`` or an error's name), seconds."""

ANSWER_MAX_BYTES = 8 * 1024 * 1024
READ_RETRIES = 2
_JITTER = (0.5, 1.5)

_ALWAYS = (Unauthorized, RateLimited, Unavailable)
_ANSWERS: Mapping[str, tuple[type[ProviderError], ...]] = MappingProxyType(
    {
        "get_machine": (*_ALWAYS, Gone),
        "create": (*_ALWAYS, NoCapacity, Rejected, QuotaExceeded, OutcomeUnknown),
        "stop": (*_ALWAYS, Gone, NotYet, Unsupported, OutcomeUnknown),
        "hibernate": (*_ALWAYS, Gone, NotYet, Unsupported, OutcomeUnknown),
        "resume": (*_ALWAYS, Gone, NotYet, NoCapacity, QuotaExceeded, OutcomeUnknown),
        "destroy": (*_ALWAYS, Gone, NotYet, OutcomeUnknown),
        "ensure_ssh_key": (*_ALWAYS, Rejected, OutcomeUnknown),
        "machine_cost": (*_ALWAYS, Gone),
        "ensure_environment": (*_ALWAYS, Rejected, OutcomeUnknown),
        "remove_ssh_key": (*_ALWAYS, Gone, OutcomeUnknown),
    }
)
"""Which errors each operation may raise; operations that aren't named only read."""


@dataclass(frozen=True, slots=True)
class WireOptions:
    """How patient and how polite we are. The defaults are for the real clouds."""

    connect_seconds: float = 5.0
    first_byte_seconds: float = 15.0
    """Also the longest silence within an answer."""
    total_seconds: float = 30.0
    """For one changing call, or for all tries of a reading call together."""
    first_retry_seconds: float = 0.25
    """Before a reading call's second try, doubled before its third, jittered."""
    pace_factor: float = 1.0
    """0 turns pacing off, as for a cloud on this machine."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """How to wait before a reading call's next try."""
    on_call: OnCall | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call on behalf of an operation of the contract."""

    operation: str
    method: str
    path: str
    endpoints: tuple[str, ...]
    """What is paced."""
    changes: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    body: object = field(default=None, repr=False)
    """Sent as JSON; may hold secrets."""

    def doubt(self, message: str, *, machine_id: str | None = None) -> ProviderError:
        """Return the error for a call whose outcome we can't know."""
        if self.changes:
            return OutcomeUnknown(message, machine_id=machine_id)
        return Unavailable(message, machine_id=machine_id)


@dataclass(frozen=True, slots=True)
class Reply:
    """A cloud's answer."""

    status: int
    headers: httpx.Headers
    body: object
    """The JSON value; None where there is none or it can't be read."""
    readable: bool
    """Whether the body is JSON, or there is none."""
    text: str
    """The beginning of the body as it came, for error messages in plain text."""


Refusal = Callable[[Call, Reply], ProviderError | None]
"""A cloud's own reading of its answers: an error, or None where the answer is no refusal it knows."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What sets one cloud's HTTP apart from another's."""

    provider: str
    refusal: Refusal
    pace: Mapping[str, float]
    """Endpoint → seconds that the cloud wants between two calls."""
    key_header: str = "Authorization"
    """Where the API key goes: as a bearer token into the usual header, bare into any other."""
    bursts: Mapping[str, int] = field(default_factory=dict)
    """Endpoint → calls that may come at once, 1 by default."""


class Wire:
    """One cloud account's HTTP."""

    def __init__(
        self, dialect: Dialect, *, base_url: str, api_key: str, client: httpx.AsyncClient | None, options: WireOptions
    ) -> None:
        """Use the given client, which stays the caller's to close, or an own one."""
        self._dialect = dialect
        self._base_url = base_url.rstrip("/")
        bearer = "Bearer " if dialect.key_header == "Authorization" else ""
        self._headers = {dialect.key_header: f"{bearer}{api_key}", "Accept-Encoding": "identity"}
        self._options = options
        self._owns_client = client is None
        self._client = client or httpx.AsyncClient(trust_env=False, verify=trusted(trust_env=False))
        self._pacer = Pacer(dialect.pace, bursts=dialect.bursts, factor=options.pace_factor)
        self._timeout = httpx.Timeout(options.first_byte_seconds, connect=options.connect_seconds)

    async def read(self, call: Call, shape: Callable[[object], T]) -> T:
        """Return the answer's value as ``shape`` makes it, which raises ``Malformed`` for a value it can't use.

        Tried again at most twice, within the total deadline.
        """
        give_up_at = time.monotonic() + self._options.total_seconds
        tries = 0
        while True:
            await self._pacer.turn(call.endpoints)
            try:
                return await self._once(call, shape, seconds=give_up_at - time.monotonic())
            except (Unavailable, RateLimited) as error:
                tries += 1
                wait = max(self._backoff(tries), error.retry_after_seconds or 0.0)
                if tries > READ_RETRIES or time.monotonic() + wait >= give_up_at:
                    raise
            await self._options.sleep(wait)

    async def change(self, call: Call, shape: Callable[[object], T]) -> T:
        """Return the answer's value as ``shape`` makes it. Sent exactly once."""
        await self._pacer.turn(call.endpoints)
        return await self._once(call, shape, seconds=self._options.total_seconds)

    async def aclose(self) -> None:
        """Close the connections, unless the client was given."""
        if self._owns_client:
            await self._client.aclose()

    async def _once(self, call: Call, shape: Callable[[object], T], *, seconds: float) -> T:
        started = time.monotonic()
        outcome = "cancelled"
        try:
            value = self._judge(call, await self._send(call, seconds=seconds), shape)
        except ProviderError as error:
            outcome = _snake(type(error).__name__)
            raise
        else:
            outcome = "ok"
            return value
        finally:
            if self._options.on_call:
                self._options.on_call(self._dialect.provider, call.operation, outcome, time.monotonic() - started)

    async def _send(self, call: Call, *, seconds: float) -> Reply:
        content = None if call.body is None else json.dumps(call.body, allow_nan=False).encode()
        headers = {**self._headers, **({} if content is None else {"Content-Type": "application/json"})}
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.stream(
                    call.method,
                    self._base_url + call.path,
                    params=call.query or None,
                    content=content,
                    headers=headers,
                    timeout=self._timeout,
                    follow_redirects=False,
                ) as response,
            ):
                return _reply(response, await _bounded(call, response))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            raise Unavailable(f"no connection: {type(error).__name__}") from error
        except TimeoutError as error:
            raise call.doubt("no whole answer within the deadline") from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            raise call.doubt(f"the connection failed: {type(error).__name__}") from error

    def _judge(self, call: Call, reply: Reply, shape: Callable[[object], T]) -> T:
        error = self._dialect.refusal(call, reply) or _refused(call, reply)
        if error is not None:
            raise self._noted(call, _within(call, error))
        if not reply.readable:
            raise call.doubt(f"status {reply.status} without readable JSON")
        try:
            return shape(reply.body)
        except Malformed as malformed:
            raise call.doubt(f"an answer of another shape: {malformed}") from malformed

    def _noted(self, call: Call, error: ProviderError) -> ProviderError:
        """Slow down as told. Where the cloud names no time, its documented interval is a good guess."""
        if isinstance(error, RateLimited):
            if error.retry_after_seconds is None:
                error.retry_after_seconds = max(1.0, self._pacer.interval(call.endpoints))
            self._pacer.hold(call.endpoints, error.retry_after_seconds)
        return error

    def _backoff(self, tries: int) -> float:
        return self._options.first_retry_seconds * float(2 ** (tries - 1)) * random.uniform(*_JITTER)  # noqa: S311 - jitter


def _refused(call: Call, reply: Reply) -> ProviderError | None:
    """Read a status alone, for answers that say nothing in the cloud's own words."""
    message = f"status {reply.status}"
    match reply.status:
        case status if status in range(200, 300):
            return None
        case 429:
            return RateLimited(message, retry_after_seconds=retry_after_seconds(reply.headers.get("Retry-After")))
        case 401 | 403:
            return Unauthorized(message)
        case 409 | 423 | 425:
            return NotYet(message)
        case status if status in range(400, 500) and status != httpx.codes.REQUEST_TIMEOUT:
            return Rejected(message)
        case _:
            error = call.doubt(message)
            error.retry_after_seconds = retry_after_seconds(reply.headers.get("Retry-After"))
            return error


def _within(call: Call, error: ProviderError) -> ProviderError:
    """Return the error, or the nearest that this operation may raise."""
    answers = _ANSWERS.get(call.operation, _ALWAYS)
    if isinstance(error, answers):
        return error
    if isinstance(error, QuotaExceeded):
        return Unauthorized(error.message)
    if isinstance(error, NotYet | NoCapacity | Gone) and Rejected in answers:
        return Rejected(error.message, machine_id=error.machine_id)
    return call.doubt(error.message, machine_id=error.machine_id)


async def _bounded(call: Call, response: httpx.Response) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise call.doubt("the answer is compressed though we asked for none")
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > ANSWER_MAX_BYTES:
            raise call.doubt(f"the answer is larger than {ANSWER_MAX_BYTES} bytes")
    return bytes(body)


def _reply(response: httpx.Response, body: bytes) -> Reply:
    beginning = body[:500].decode(errors="replace")
    try:
        value = read_json(body) if body.strip() else None
    except Malformed:
        return Reply(response.status_code, response.headers, None, readable=False, text=beginning)
    return Reply(response.status_code, response.headers, value, readable=True, text=beginning)


def _snake(camel: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", camel).lower()
