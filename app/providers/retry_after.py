"""The Retry-After header: seconds or a date, and whatever else clouds put there."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from app.kit.clock import SystemClock

RETRY_AFTER_MAX_SECONDS = 60.0
_DIGITS_MAX = 12


def retry_after_seconds(header: str | None, *, at: datetime | None = None) -> float | None:
    """Return how long to wait, from 0 to 60 s; None where the header is missing or says nothing usable.

    A date counts from ``at``, by default the present moment.
    """
    value = (header or "").strip()
    if value.isascii() and value.replace(".", "", 1).isdecimal():
        return min(float(value[:_DIGITS_MAX]), RETRY_AFTER_MAX_SECONDS)
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    wait = (until - (at or SystemClock().now())).total_seconds()
    return min(max(wait, 0.0), RETRY_AFTER_MAX_SECONDS)
