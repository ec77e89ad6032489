"""What the room can answer over HTTP. What Stripe answers is told in our own words, never in its own.

AppError
├── CardPaymentsNotSetUp   503   this deployment has no key for Stripe
├── StripeOutOfReach       503   Stripe did not answer, or not yet: asking again is harmless
└── StripeRefusal          502   Stripe answered that it can't be done
"""

from __future__ import annotations

from app.kit.errors import AppError


class CardPaymentsNotSetUp(AppError):
    """Card payments are not set up."""

    status = 503
    code = "provider_unavailable"
    suggestion = "Ask the operator to set STRIPE_API_KEY, or for an adjustment of the balance."


class StripeOutOfReach(AppError):
    """The card processor did not answer in time; nothing is lost or done twice."""

    status = 503
    code = "provider_unavailable"
    retryable = True
    suggestion = "Send the same request again after the seconds in Retry-After, with the same Idempotency-Key."


class StripeRefusal(AppError):
    """The card processor refused the request."""

    status = 502
    code = "provider_error"
    suggestion = "Try once more with a fresh Idempotency-Key; if it stays, tell the operator the request_id."
