"""What Hyperstack's refusals mean: one word for a whole class of errors, and the rest in prose."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import httpx

from app.providers.errors import (
    Gone,
    NoCapacity,
    NotYet,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Unauthorized,
    Unsupported,
)
from app.providers.reading import maybe, text
from app.providers.retry_after import retry_after_seconds
from app.providers.wire import Call, Reply

_UNTIL_THE_MINUTE_ENDS = 30.0
"""Whoever is too fast is refused for the rest of the minute, and not told how long that is."""

_REASONS: Mapping[str, type[ProviderError]] = MappingProxyType(
    {"unauthorized": Unauthorized, "forbidden": Unauthorized, "not_found": Gone}
)
_ON_MACHINES = frozenset({"stop", "hibernate", "resume", "destroy"})
"""What is done to a machine that exists: refused as bad, it is in the wrong state."""

_MEANINGS: tuple[tuple[tuple[str, ...], type[ProviderError]], ...] = (
    (("insufficient balance", "insufficient credit", "not enough credit", "low balance"), QuotaExceeded),
    (("quota", "limit reached", "limit exceeded", "limit has been reached"), QuotaExceeded),
    (("stock", "capacity", "not enough resources", "no available"), NoCapacity),
    (("not support", "no_hibernation"), Unsupported),
)
"""What a 400 says in words; the first that fits."""


class AlreadyExists(Rejected):
    """The name is taken."""


def refusal(call: Call, reply: Reply) -> ProviderError | None:
    """Return what an answer refuses; None leaves it to the status alone."""
    body = reply.body if isinstance(reply.body, dict) else {}
    reason, message = maybe(text, body.get("error_reason")) or "", maybe(text, body.get("message")) or ""
    words = f"{reason} {message}".strip() or f"status {reply.status}"
    if reply.status in range(200, 300):
        return call.doubt(words) if body.get("status") is False else None
    if reply.status == httpx.codes.TOO_MANY_REQUESTS:
        seconds = retry_after_seconds(reply.headers.get("Retry-After"))
        return RateLimited(words, retry_after_seconds=_UNTIL_THE_MINUTE_ENDS if seconds is None else seconds)
    if reply.status >= httpx.codes.INTERNAL_SERVER_ERROR:
        doubt = call.doubt(words)
        doubt.retry_after_seconds = retry_after_seconds(reply.headers.get("Retry-After"))
        return doubt
    error = _class_of(call, reply.status, reason=reason, words=words.lower())
    return None if error is None else error(words)


def _class_of(call: Call, status: int, *, reason: str, words: str) -> type[ProviderError] | None:
    if status == httpx.codes.PAYMENT_REQUIRED:
        return QuotaExceeded
    if reason == "already_exist" or (status in {400, 409} and "already exist" in words):
        return AlreadyExists
    if found := _REASONS.get(reason):
        return found
    if reason == "not_allowed":
        return NotYet if call.operation in _ON_MACHINES else Rejected
    if reason == "bad_request":
        meant = next((error for phrases, error in _MEANINGS if any(phrase in words for phrase in phrases)), None)
        return meant or (NotYet if call.operation in _ON_MACHINES else Rejected)
    return None
