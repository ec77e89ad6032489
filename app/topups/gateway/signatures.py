"""Telling Stripe's messages from forged, old and damaged ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import stripe

from app.providers.reading import Malformed, mapping, read_json
from app.topups.gateway import reading as stripe_reading
from app.topups.gateway.facts import EventFacts

TOLERANCE_SECONDS = 300
"""How far from our clock a message may say it was sent, either way. The library bounds the past only."""

_TIME = re.compile(r"(?:^|,)\s*t=(\d{1,12})(?:,|$)", re.ASCII)
_HEADER_MAX = 4096


class InvalidSignature(Exception):
    """A message is not Stripe's, or was sent at another time."""


class MalformedEvent(Exception):
    """A signed message is no event that we can read."""


def verified_event(body: bytes, signature: str | None, secrets: Sequence[str], *, at: datetime) -> EventFacts:
    """Return the event in a message that one of the secrets has signed about now.

    Raises:
        InvalidSignature: signed by none of them, too long ago, or in the future.
        MalformedEvent: signed, but no event of the form with the whole object in it.
    """
    header = (signature or "")[:_HEADER_MAX]
    if not any(_is_signed(body, header, secret) for secret in secrets):
        raise InvalidSignature
    if abs(at.timestamp() - _sent_at(header)) > TOLERANCE_SECONDS:
        raise InvalidSignature
    try:
        return stripe_reading.event(mapping(read_json(body)), payload=body)
    except Malformed:
        raise MalformedEvent from None


def _is_signed(body: bytes, header: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body, header, secret)  # without its tolerance, which asks its own clock
    except (stripe.SignatureVerificationError, UnicodeError, TypeError):
        return False
    return True


def _sent_at(header: str) -> int:
    times = _TIME.findall(header)
    if len(times) != 1:  # the library signs with the first of several
        raise InvalidSignature
    return int(times[0])
