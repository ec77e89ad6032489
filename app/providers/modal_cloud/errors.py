"""What an error of the SDK means. Read by gRPC status, which the SDK notes on its exceptions, and by name where none is.

RESOURCE_EXHAUSTED stands for three things: too fast (with a retry policy, or by its words), our own limit (by its
words), and no capacity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from app.providers.errors import (
    Gone,
    NoCapacity,
    OutcomeUnknown,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
)
from app.providers.reading import Malformed, text
from app.providers.retry_after import RETRY_AFTER_MAX_SECONDS

_STATUSES: Mapping[str, type[ProviderError]] = MappingProxyType(
    {
        "UNAUTHENTICATED": Unauthorized,
        "PERMISSION_DENIED": Unauthorized,
        "NOT_FOUND": Gone,
        "ALREADY_EXISTS": Rejected,
        "INVALID_ARGUMENT": Rejected,
        "OUT_OF_RANGE": Rejected,
        "UNIMPLEMENTED": Rejected,
        "FAILED_PRECONDITION": Rejected,
    }
)
"""All other statuses leave open what happened."""
_NAMES: Mapping[str, type[ProviderError]] = MappingProxyType(
    {"AuthError": Unauthorized, "InvalidError": Rejected, "ImageBuildError": Rejected, "NotFoundError": Gone}
)
_TOO_FAST = re.compile(r"rate.?limit|too many|throttl|too fast|slow down", re.IGNORECASE)
_OUR_LIMIT = re.compile(r"spend|budget|billing|credit|quota|limit|balance|payment", re.IGNORECASE)
_CONNECTION_CUT = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)


def read_error(error: Exception, *, operation: str, sent: bool) -> ProviderError:
    """Return what an exception means for an operation. ``sent``: whether a changing call was on its way."""
    status = status_of(error)
    words = _words(error)
    if status == "RESOURCE_EXHAUSTED":
        return _within(operation, _exhausted(error, words, operation=operation), sent=sent)
    if isinstance(error, OSError) and not isinstance(error, (*_CONNECTION_CUT, TimeoutError)):
        return Unavailable(f"no connection: {words}")
    known = _STATUSES.get(status or "") or (None if status else _NAMES.get(type(error).__name__))
    return _within(operation, known(words) if known else _doubt(words, sent=sent), sent=sent)


def status_of(error: Exception) -> str | None:
    """Return the name of the gRPC status that an exception stands for."""
    bare = type(error).__name__ == "GRPCError"  # the SDK's own have ``status`` too, but warn when it is asked for
    name = getattr(getattr(error, "status" if bare else "_grpc_status", None), "name", None)
    return name if isinstance(name, str) else None


def _exhausted(error: Exception, words: str, *, operation: str) -> ProviderError:
    for detail in getattr(error, "_grpc_details", None) or ():
        seconds = getattr(detail, "retry_after_secs", None)
        if isinstance(seconds, float):
            return RateLimited(words, retry_after_seconds=min(max(0.0, seconds), RETRY_AFTER_MAX_SECONDS))
    if operation != "create" or _TOO_FAST.search(words):
        return RateLimited(words, retry_after_seconds=1.0)
    return QuotaExceeded(words) if _OUR_LIMIT.search(words) else NoCapacity(words)


def _within(operation: str, error: ProviderError, *, sent: bool) -> ProviderError:
    """Return the error, or the nearest that the operation may raise."""
    if isinstance(error, Gone) and operation not in {"get_machine", "destroy", "realised_cost"}:
        return Unavailable(error.message) if not sent else Rejected(error.message)
    if isinstance(error, Rejected) and operation not in {"create", "prepare"}:
        return _doubt(error.message, sent=sent)
    return error


def _doubt(words: str, *, sent: bool) -> ProviderError:
    return OutcomeUnknown(words) if sent else Unavailable(words)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no whole answer within the deadline"
    if isinstance(error, Malformed) or type(error).__name__ == "DecodeError":
        return f"an answer of another shape: {error}"
    said = text(str(getattr(error, "_grpc_message", None) or error))
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
