"""Local days and months: where they begin and end on the one time line, also where clocks are put forward or back."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


@lru_cache(maxsize=1024)
def zone_named(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name.

    Raises:
        ValueError: there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("must be the name of a time zone, such as Europe/Berlin") from None


def day_of(at: datetime, zone: ZoneInfo) -> date:
    """Return the local date at a moment."""
    return at.astimezone(zone).date()


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of a local date, in UTC.

    Where the clock skips midnight that is when it is put forward; where midnight comes twice it is the first.
    """
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def day_around(at: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the first moments of the local day in which ``at`` lies, and of the next."""
    day = day_of(at, zone)
    return start_of_day(day, zone), _first_after(at, day + _DAY, zone)


def month_around(at: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the first moments of the local month in which ``at`` lies, and of the next."""
    first = day_of(at, zone).replace(day=1)
    following = (first + 31 * _DAY).replace(day=1)
    return start_of_day(first, zone), start_of_day(following, zone)


def week_around(at: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the first moments of the local week, which begins on Monday, in which ``at`` lies, and of the next."""
    day = day_of(at, zone)
    monday = day - day.weekday() * _DAY
    return start_of_day(monday, zone), start_of_day(monday + 7 * _DAY, zone)


def _first_after(at: datetime, day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of the first date from ``day`` on that begins after ``at``: a date may not exist at all."""
    while (start := start_of_day(day, zone)) <= at:
        day += _DAY
    return start
