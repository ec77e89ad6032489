"""What the edge itself can answer.

AppError
├── MalformedRequest          400  the body is not JSON at all
├── InvalidCursor             400  a cursor that this list did not give out
├── IdempotencyKeyMissing     400
├── Unauthorized              401  no key, or none that we know
│   ├── KeyExpired            401
│   └── KeyDisabled           401
├── Forbidden                 403
│   ├── ScopeMissing          403
│   ├── IpNotAllowed          403
│   ├── AccountSuspended      403
│   ├── CsrfFailed            403  a browser's request that no page of ours has sent
│   ├── MembershipEnded       403
│   └── SignInNeeded          403  a key can't do what a person does
├── NotFound (kit)            404
├── MethodNotAllowed          405
├── RequestTimeout            408  the body did not arrive in time
├── InvalidState (kit)        409
├── IdempotencyInProgress     409
├── EtagMismatch              412
├── BodyTooLarge              413
├── UnsupportedMediaType      415
├── ValidationFailed          422
├── IdempotencyMismatch       422
├── RateLimited               429
├── Internal                  500
├── Unavailable               503
└── DeadlineExceeded          504
"""

from __future__ import annotations

from app.kit.errors import AppError


class MalformedRequest(AppError):
    """The request can't be read."""

    status = 400
    code = "malformed_request"
    suggestion = "Send one JSON document in UTF-8."


class InvalidCursor(AppError):
    """The cursor was not given out by this list, or is too old."""

    status = 400
    code = "invalid_cursor"
    suggestion = "Start again without a cursor, with the same filters on every page."


class IdempotencyKeyMissing(AppError):
    """This request needs an Idempotency-Key header."""

    status = 400
    code = "idempotency_key_missing"
    suggestion = "Send a fresh random Idempotency-Key, and the same one again when you retry."


class Unauthorized(AppError):
    """The request carries no valid API key, and no session that lasts."""

    status = 401
    code = "unauthorized"
    suggestion = "Send Authorization: Bearer hg_live_… with a key that has not been revoked, or sign in."


class KeyExpired(Unauthorized):
    """The API key has expired."""

    code = "key_expired"
    suggestion = "Create a new key, or rotate before the next expiry."


class KeyDisabled(Unauthorized):
    """The API key has been revoked."""

    code = "key_disabled"
    suggestion = "Create a new key."


class Forbidden(AppError):
    """This caller may not do that."""

    status = 403
    code = "forbidden"


class ScopeMissing(Forbidden):
    """The API key lacks a scope that this request needs."""

    code = "scope_missing"
    suggestion = "Use a key with the named scope."


class IpNotAllowed(Forbidden):
    """The API key may not be used from this address."""

    code = "ip_not_allowed"
    suggestion = "Call from one of the key's allowed addresses, or change its list."


class AccountSuspended(Forbidden):
    """The account is suspended."""

    code = "account_suspended"
    suggestion = "Contact the operator."


class CsrfFailed(Forbidden):
    """The request was not sent by a page of this service, or by one that was opened for another account."""

    code = "csrf_failed"
    suggestion = "Send the csrf_token of GET /v1/session as X-CSRF-Token, from a page of this origin."


class MembershipEnded(Forbidden):
    """The person no longer belongs to the account it had chosen."""

    code = "membership_ended"
    suggestion = "Choose another account with PUT /v1/session; GET /v1/me/accounts lists them."


class SignInNeeded(Forbidden):
    """This needs a person who is signed in; a key can't do it."""

    code = "sign_in_needed"
    suggestion = "Sign in at /v1/auth/github and send the session's cookie instead of a key."


class MethodNotAllowed(AppError):
    """The path exists, but not with this method."""

    status = 405
    code = "method_not_allowed"
    suggestion = "Use one of the methods in the Allow header."


class RequestTimeout(AppError):
    """The request's body did not arrive in time."""

    status = 408
    code = "request_timeout"
    retryable = True
    suggestion = "Send the request again over a new connection."


class IdempotencyInProgress(AppError):
    """A request with the same Idempotency-Key is still running."""

    status = 409
    code = "idempotency_in_progress"
    retryable = True
    suggestion = "Send the same request again in a moment to read its result."


class EtagMismatch(AppError):
    """The resource has changed since it was read."""

    status = 412
    code = "etag_mismatch"
    suggestion = "Read the resource again and repeat the change with its new ETag."


class BodyTooLarge(AppError):
    """The request's body is larger than this service takes."""

    status = 413
    code = "body_too_large"


class UnsupportedMediaType(AppError):
    """The request's body is not declared as JSON."""

    status = 415
    code = "unsupported_media_type"
    suggestion = "Send Content-Type: application/json, in UTF-8 and uncompressed."


class ValidationFailed(AppError):
    """The request has fields that can't be accepted."""

    status = 422
    code = "validation_failed"
    suggestion = "Mend the fields named in errors."


class IdempotencyMismatch(AppError):
    """The Idempotency-Key was used before with another request."""

    status = 422
    code = "idempotency_mismatch"
    suggestion = "Use a fresh Idempotency-Key for a different request."


class RateLimited(AppError):
    """There were too many requests."""

    status = 429
    code = "rate_limited"
    retryable = True
    suggestion = "Wait for the seconds in Retry-After."


class Internal(AppError):
    """Something went wrong on our side."""

    suggestion = "Try again; if it stays, tell the operator the request_id."


class Unavailable(AppError):
    """The service can't answer at the moment."""

    status = 503
    code = "unavailable"
    retryable = True
    suggestion = "Try again after the seconds in Retry-After, with the same Idempotency-Key."


class DeadlineExceeded(AppError):
    """The request took too long; it may or may not have taken effect."""

    status = 504
    code = "deadline_exceeded"
    retryable = True
    suggestion = "Repeat it with the same Idempotency-Key, or read the resource."
