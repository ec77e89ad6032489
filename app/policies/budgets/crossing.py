"""When a budget is used up: the very moment, were everything to go on as it runs now. Pure.

What a period has used at a moment is what was settled in it, and for each rental C(n) of the seconds that have passed by
then, less C of those that passed before the period. The books count a second that runs as a period begins to that
period; so does this.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from app.wallet import Meter

Around = Callable[[datetime], tuple[datetime, datetime]]
"""The period in which a moment lies: when it begins, and when the next one does."""

HORIZON: Final = timedelta(days=366)
"""How far ahead periods are looked through: a year has days of every length."""
_FOREVER: Final = timedelta(days=3660)
"""How far a budget that never begins anew is looked ahead for."""
_SECOND: Final = timedelta(seconds=1)


def crossing(
    meters: Sequence[Meter], *, amount: int, settled: int, around: Around | None, at: datetime
) -> datetime | None:
    """Return the last moment at which a budget is not exceeded yet, ``at`` where it is already; None where that is far.

    Args:
        meters: what runs on it; all go on at their rates, and what they hold is renewed. A cap that has not passed by
            ``at`` is as if it were not there.
        amount: the budget, in micro-dollars.
        settled: what was captured, less what came back, in the period in which ``at`` lies.
        around: the budget's periods; None where it never begins anew.
        at: the present moment.
    """
    running = [_uncapped(meter, at) for meter in meters if meter.started_at is not None]
    since, until = (None, at + _FOREVER) if around is None else around(at)
    if settled + used(running, since=since, at=at) >= amount:
        return at
    begins, left = at, amount - settled
    while running:
        last = _last_within(running, left, (since, begins, until))
        if last is not None or around is None or until > at + HORIZON:
            return last
        begins, left = until, amount
        since, until = around(until)
    return None


def used(meters: Sequence[Meter], *, since: datetime | None, at: datetime) -> int:
    """Return what meters use of a period up to ``at`` beyond what they have captured, in micro-dollars."""
    return sum(meter.cost(_seconds(meter, at)) - _before(meter, since) for meter in meters)


def _uncapped(meter: Meter, at: datetime) -> Meter:
    if meter.stop_by is None or meter.stop_by <= at:
        return meter
    return meter._replace(stop_by=None)


def _seconds(meter: Meter, at: datetime) -> int:
    return max(meter.billed_seconds, meter.elapsed(at) - meter.overrun_seconds)


def _before(meter: Meter, since: datetime | None) -> int:
    """Return what a meter has captured, or had used when the period began, in micro-dollars."""
    if since is None or meter.started_at is None or meter.started_at >= since:
        return meter.charged
    # The second in which the period begins counts to it.
    return max(meter.charged, meter.cost(max(meter.earlier_seconds, _seconds(meter, since) - 1)))


def _may_exceed(meters: Sequence[Meter], span: timedelta, amount: int) -> bool:
    """Say whether so long a time could use more: a quick no for the many periods that are far from it."""
    return sum(meter.rate for meter in meters) * (span // _SECOND + 2) // 3600 + len(meters) > amount


def _last_within(
    meters: Sequence[Meter], amount: int, period: tuple[datetime | None, datetime, datetime]
) -> datetime | None:
    """Return the last moment of a period by which no more than ``amount`` is used; None where all of it fits."""
    since, begins, until = period
    if begins == since and not _may_exceed(meters, until - since, amount):
        return None
    last = until - timedelta(microseconds=1)
    if used(meters, since=since, at=last) <= amount:
        return None

    def exceeds(moment: datetime) -> bool:
        return used(meters, since=since, at=moment) > amount

    seconds = range((last - begins) // _SECOND + 1)
    whole = bisect_left(seconds, x=True, key=lambda second: exceeds(begins + second * _SECOND)) - 1
    start = begins + max(0, whole) * _SECOND
    ticking = [meter for meter in meters if meter.stop_by is None]
    marks = sorted({_mark(meter, start + step * _SECOND) for meter in ticking for step in (0, 1)})
    good = marks[: bisect_left(marks, x=True, key=lambda mark: mark > last or exceeds(mark))]
    return max([begins, *good])


def _mark(meter: Meter, at: datetime) -> datetime:
    """Return when the last whole second of a run was complete."""
    started = meter.started_at or at
    return max(started, started + (at - started) // _SECOND * _SECOND)
