"""Settling, the arithmetic: capture what is due month by month, fetch more money where a hold fell short, then renew.

Nothing here touches a database. Each account's holds are settled together, since they share what is available.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.ledger import Kind, Movement, Usage
from app.wallet.meter import Meter, share

INSTANT = timedelta(microseconds=1)
"""What lies between the end of one month and the start of the next."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """The movements to post, in order, and the meters after them."""

    movements: list[Movement]
    meters: list[Meter]


def settled(meters: Sequence[Meter], *, available: int, at: datetime) -> Settlement:
    """Capture everything due at ``at`` and renew each hold up to a full hour, as far as ``available`` goes."""
    paid = paid_up(meters, available=available, at=at)
    available -= sum(movement.amount for movement in paid.movements if movement.kind is Kind.RESERVE_RENEW)
    grants = share(available, paid.meters)
    renewals = [renewal(meter, grant, at=at) for meter, grant in zip(paid.meters, grants, strict=True) if grant]
    after = [meter.renewed(grant) for meter, grant in zip(paid.meters, grants, strict=True)]
    return Settlement(paid.movements + renewals, after)


def paid_up(meters: Sequence[Meter], *, available: int, at: datetime) -> Settlement:
    """Capture everything due at ``at``; what neither the holds nor ``available`` can pay is written off.

    A settlement that comes hours late finds more due than the hold has. It renews and captures in turn, as punctual
    ones would have done, so that the bill is the same. Usage is split where a month of UTC ends and where a cap
    ends it: each part is effective within its own time.
    """
    movements: list[Movement] = []
    after = list(meters)
    for until in _stations(meters, at):
        after = _captured(after, movements, until=until, at=at)
        while available > 0 and (short := [n for n, meter in enumerate(after) if _wants_more(meter, until)]):
            grants = share(available, [after[n] for n in short])
            for n, grant in zip(short, grants, strict=True):
                if grant:
                    movements.append(renewal(after[n], grant, at=at))
                    after[n] = after[n].renewed(grant)
            available -= sum(grants)
            after = _captured(after, movements, until=until, at=at)
        after = [meter.written_off(until) for meter in after]
    return Settlement(movements, after)


def renewal(meter: Meter, amount: int, *, at: datetime) -> Movement:
    """Return the movement that adds to a hold."""
    # What was captured and held before tells one renewal from the next, whatever the clock does; a change of the rate
    # may give back what was held, so that these are counted too.
    key = f"renew:{meter.rental_id}:{meter.billed_seconds}:{meter.charged + meter.held}"
    return Movement(
        account_id=meter.account_id,
        kind=Kind.RESERVE_RENEW,
        amount=amount,
        idempotency_key=f"{key}:{meter.rate_changes}" if meter.rate_changes else key,
        at=at,
        rental_id=meter.rental_id,
    )


def month_of(at: datetime) -> datetime:
    """Return the first moment of the UTC month in which ``at`` lies."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _stations(meters: Sequence[Meter], at: datetime) -> list[datetime]:
    """Return the ends of months and of caps since the meters were last settled, and ``at``."""
    since = min((meter.settled_at for meter in meters if meter.settled_at and meter.started_at), default=at)
    stations = {at}
    month = at
    while (month := month_of(month - INSTANT)) > since:
        stations.add(month)
    for meter in meters:
        if meter.stop_by is not None and since < meter.stop_by < at:
            stations.add(meter.stop_by)
    return sorted(stations)


def _wants_more(meter: Meter, until: datetime) -> bool:
    return meter.unpaid(until) > 0 and meter.wanted() > 0


def _captured(meters: list[Meter], movements: list[Movement], *, until: datetime, at: datetime) -> list[Meter]:
    """Capture up to ``until``. What a past month used is effective in its last instant."""
    effective_at = at if until == at else until - INSTANT
    after = [meter.captured(until) for meter in meters]
    movements.extend(
        _capture(before, now, at=effective_at)
        for before, now in zip(meters, after, strict=True)
        if now.charged > before.charged
    )
    return after


def _capture(before: Meter, after: Meter, *, at: datetime) -> Movement:
    return Movement(
        account_id=before.account_id,
        kind=Kind.USAGE,
        amount=after.charged - before.charged,
        idempotency_key=f"capture:{before.rental_id}:{after.billed_seconds}",
        at=at,
        rental_id=before.rental_id,
        usage=Usage(
            rate=before.rate,
            from_s=before.billed_seconds,
            to_s=after.billed_seconds,
            base_s=before.earlier_seconds or None,
        ),
    )
