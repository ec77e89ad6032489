"""What Stripe can answer other than success, and how the library's errors are read as that.

GatewayError
├── StripeUnknown       a changing call may have happened: ask again with the same key, or look for its trace
├── StripeBusy          too fast, or the same key is being worked on: nothing new happened, ask again later
├── StripeUnavailable   a reading call failed, or a changing one found no connection: nothing changed
├── StripeRefused       Stripe refuses the request; repeating it will not help
│   └── StripeMissing   an object that it names does not exist at Stripe, or no longer
└── StripeUnauthorized  Stripe refuses our key: alert the operator

None of these reaches HTTP as such. Their texts hold codes and request ids only: Stripe's own words may repeat what was
sent.
"""

from __future__ import annotations

import re

import stripe

from app.providers.retry_after import retry_after_seconds

_WORD = re.compile(r"[A-Za-z0-9_.\[\]]{1,100}", re.ASCII)
_CONFLICT, _SERVER_ERROR, _TIMEOUT = 409, 500, 408
_MISSING = 404


class GatewayError(Exception):
    """Stripe answered something other than success."""


class StripeUnknown(GatewayError):
    """A changing call may or may not have happened."""

    def __init__(self, told: str = "", *, replayed: bool = False) -> None:
        """Take whether this is the stored answer of an earlier try: then asking again gives it again, for a day."""
        super().__init__(told)
        self.replayed = replayed


class StripeBusy(GatewayError):
    """Stripe wants us to wait; nothing new happened."""

    def __init__(self, told: str = "", *, retry_after: float | None = None) -> None:
        """Take how many seconds to wait, where Stripe says so."""
        super().__init__(told)
        self.retry_after = retry_after


class StripeUnavailable(GatewayError):
    """A reading call got no usable answer, or a changing call was never sent; nothing changed."""


class StripeRefused(GatewayError):
    """Stripe refuses the request as it is."""

    def __init__(self, code: str | None = None, message: str = "", *, param: str | None = None) -> None:
        """Take Stripe's code, its own words (not for logs), and which parameter it means."""
        super().__init__(" ".join(part for part in (_word(code), _word(param)) if part))
        self.code = code
        self.message = message
        self.param = param


class StripeMissing(StripeRefused):
    """An object that the request names does not exist at Stripe."""


class StripeUnauthorized(GatewayError):
    """Stripe refuses our key."""


class NotSentError(Exception):
    """No connection came about: nothing was sent."""


class UnansweredError(Exception):
    """Something was sent; what came back, if anything, can't be used."""


def read_error(error: Exception, *, changes: bool) -> GatewayError:
    """Return what an error of the library, or of the transport beneath it, means for a call."""
    match error:
        case NotSentError():
            return StripeUnavailable(str(error))
        case UnansweredError():
            return _doubt(str(error), changes=changes)
        case stripe.StripeError():
            return _refusal(error, changes=changes)
        case _:
            return _doubt(type(error).__name__, changes=changes)


def _refusal(error: stripe.StripeError, *, changes: bool) -> GatewayError:
    match error:
        case stripe.RateLimitError():
            return StripeBusy(_told(error), retry_after=_wait(error))
        case stripe.AuthenticationError() | stripe.PermissionError():
            return StripeUnauthorized(_told(error))
        case stripe.IdempotencyError():
            return StripeRefused("idempotency_error")
        case stripe.InvalidRequestError() | stripe.CardError():
            return _request_refused(error)
        case _:
            return _by_status(error, changes=changes)


def _request_refused(error: stripe.InvalidRequestError | stripe.CardError) -> StripeRefused:
    missing = error.http_status == _MISSING or error.code == "resource_missing"
    return (StripeMissing if missing else StripeRefused)(
        error.code, (error.user_message or "")[:500], param=error.param
    )


def _by_status(error: stripe.StripeError, *, changes: bool) -> GatewayError:
    status = error.http_status or 0
    if status == _CONFLICT:
        return StripeBusy(_told(error), retry_after=_wait(error))
    if _MISSING < status < _SERVER_ERROR and status != _TIMEOUT:
        return StripeRefused(f"status_{status}")
    return _doubt(_told(error), changes=changes, replayed=_header(error, "idempotent-replayed") == "true")


def _doubt(told: str, *, changes: bool, replayed: bool = False) -> GatewayError:
    return StripeUnknown(told, replayed=replayed) if changes else StripeUnavailable(told)


def _told(error: stripe.StripeError) -> str:
    parts = (f"status {error.http_status}", _word(error.code), _word(error.request_id))
    return " ".join(part for part in parts if part)


def _wait(error: stripe.StripeError) -> float | None:
    return retry_after_seconds(_header(error, "retry-after"))


def _header(error: stripe.StripeError, name: str) -> str | None:
    found = {key.lower(): value for key, value in (error.headers or {}).items()}
    return found.get(name)


def _word(text: str | None) -> str:
    return text if text and _WORD.fullmatch(text) else ""
