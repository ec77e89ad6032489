"""When a message that was not taken is sent again: soon, then ever more rarely, for three days."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

GIVEN_UP_AFTER: Final = timedelta(days=3)
"""So long after the first try of a series comes its last; so long an endpoint may fail before it is disabled."""

_PAUSES: Final = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800))
_LONGEST: Final = timedelta(hours=12)
_JITTER: Final = 0.2
_ASKS_TO_WAIT: Final = frozenset({429, 503})
_SECONDS_DIGITS: Final = 6


def again_at(
    tries: int, *, since: datetime, at: datetime, status: int | None = None, headers: Mapping[str, str] | None = None
) -> datetime | None:
    """Return when to try again after so many tries of which the first was at ``since``; None: no more.

    The pauses vary by a fifth either way, so that what failed together does not come back together. A receiver that
    says ``Retry-After`` is left alone for that long, up to twelve hours.
    """
    last = since + GIVEN_UP_AFTER
    if at >= last:
        return None
    pause = _PAUSES[tries - 1] if 0 < tries <= len(_PAUSES) else _LONGEST
    pause *= 1 + random.uniform(-_JITTER, _JITTER)  # noqa: S311 - jitter, no secret
    return min(last, at + max(pause, _asked(status, headers or {})))


def _asked(status: int | None, headers: Mapping[str, str]) -> timedelta:
    text = headers.get("retry-after", "").strip()
    if status not in _ASKS_TO_WAIT or not (text.isascii() and text.isdigit()) or len(text) > _SECONDS_DIGITS:
        return timedelta()
    return min(_LONGEST, timedelta(seconds=int(text)))
