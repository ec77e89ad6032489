"""How we speak HTTP with Stripe: the library's client over a transport of our own.

The library's transport for httpx can't bound an answer, can't tell what was sent from what was not, and takes no proxy
with this httpx. Retries are our own too: a reading call is tried again at most twice, a changing one is sent once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import stripe
from stripe import _util as stripe_logging

from app.kit.authorities import trusted
from app.topups.gateway.errors import (
    GatewayError,
    NotSentError,
    StripeBusy,
    StripeUnavailable,
    UnansweredError,
    read_error,
)

stripe.enable_telemetry = False  # it would write a file into the user's home, and time our calls for Stripe
# The library prints bodies where this variable of the environment says so; they hold pages that are secrets.
stripe_logging.STRIPE_LOG = None
stripe_logging.logger.disabled = True
stripe_logging.logger.setLevel(logging.CRITICAL + 1)  # some ways to configure logging enable every logger again

T = TypeVar("T")

OnCall = Callable[[str, str, str, float], None]
"""Told of every call: ``stripe``, operation, outcome (``ok``, ``cancelled`` or an error's name), seconds."""

ANSWER_MAX_BYTES = 8 * 1024 * 1024
READ_TRIES = 3
_FIRST_RETRY_SECONDS = 0.25
_CONNECT_SECONDS = 5.0
_JITTER = (0.5, 1.5)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_UNSENT_HEADERS = frozenset({"x-stripe-client-user-agent", "user-agent"})
_UNHEARD_HEADERS = frozenset({"stripe-notice"})
"""The library would turn it into a Python warning."""


class Wire:
    """One Stripe account's HTTP. Made in the event loop that it is used in."""

    def __init__(self, api_key: str, *, base_url: str, timeout_seconds: float, on_call: OnCall | None) -> None:
        self._timeout_seconds = timeout_seconds
        self._on_call = on_call
        self._transport = _Transport(timeout_seconds, trust_env=not is_loopback(base_url))
        self.client = stripe.StripeClient(
            api_key, base_addresses={"api": base_url}, max_network_retries=0, http_client=self._transport
        )

    async def read(self, operation: str, call: Callable[[], Awaitable[Any]], shape: Callable[[Any], T]) -> T:
        """Return what ``shape`` makes of an answer. Tried at most three times, all within the deadline.

        Raises:
            StripeUnavailable, StripeBusy, StripeRefused, StripeUnauthorized: as the last try ended.
        """
        give_up_at = time.monotonic() + self._timeout_seconds
        tries = 0
        while True:
            try:
                return await self._once(operation, call, shape, seconds=give_up_at - time.monotonic(), changes=False)
            except (StripeUnavailable, StripeBusy) as error:
                tries += 1
                wait = _backoff(tries) if isinstance(error, StripeUnavailable) else error.retry_after or 1.0
                if tries >= READ_TRIES or time.monotonic() + wait >= give_up_at:
                    raise
            await asyncio.sleep(wait)

    async def change(self, operation: str, call: Callable[[], Awaitable[Any]], shape: Callable[[Any], T]) -> T:
        """Return what ``shape`` makes of an answer. Sent exactly once.

        Raises:
            StripeUnknown, StripeUnavailable, StripeBusy, StripeRefused, StripeUnauthorized: as it ended.
        """
        return await self._once(operation, call, shape, seconds=self._timeout_seconds, changes=True)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.close_async()

    async def _once(
        self,
        operation: str,
        call: Callable[[], Awaitable[Any]],
        shape: Callable[[Any], T],
        *,
        seconds: float,
        changes: bool,
    ) -> T:
        started, outcome = time.monotonic(), "cancelled"
        try:
            async with asyncio.timeout(seconds):
                value = shape(await call())
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the request may have been sent
            told = error if isinstance(error, GatewayError) else read_error(error, changes=changes)
            outcome = type(told).__name__
            raise told from None  # the library's error repeats bodies
        else:
            outcome = "ok"
            return value
        finally:
            if self._on_call:
                self._on_call("stripe", operation, outcome, time.monotonic() - started)


class _Transport(stripe.HTTPClient):
    """Carries the library's requests: bounded answers, and errors that say whether anything was sent."""

    name = "httpx"

    def __init__(self, timeout_seconds: float, *, trust_env: bool) -> None:
        super().__init__()
        timeout = httpx.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds))
        self._http = httpx.AsyncClient(
            timeout=timeout, trust_env=trust_env, verify=trusted(trust_env=trust_env), follow_redirects=False
        )

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send one request and return body, status and headers."""
        sent = {name: value for name, value in headers.items() if name.lower() not in _UNSENT_HEADERS}
        content = post_data.encode() if post_data else None
        try:
            async with self._http.stream(method.upper(), url, headers=sent, content=content) as response:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > ANSWER_MAX_BYTES:
                        raise UnansweredError(f"the answer is larger than {ANSWER_MAX_BYTES} bytes")
                heard = [(name, value) for name, value in response.headers.items() if name not in _UNHEARD_HEADERS]
                return bytes(body), response.status_code, httpx.Headers(heard)
        except _NOT_SENT as error:
            raise NotSentError(f"no connection: {type(error).__name__}") from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            raise UnansweredError(f"the connection failed: {type(error).__name__}") from None

    async def close_async(self) -> None:
        """Close every connection."""
        await self._http.aclose()


def is_loopback(url: str) -> bool:
    """Say whether a URL names this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _backoff(tries: int) -> float:
    return _FIRST_RETRY_SECONDS * float(2 ** (tries - 1)) * random.uniform(*_JITTER)  # noqa: S311 - jitter, no secret
