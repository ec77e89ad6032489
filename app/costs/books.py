"""Each finished day at each cloud compared with the cloud's books: one row a day, written again when it is done again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, NamedTuple

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from app.costs.comparing import Comparison, Had, compare
from app.costs.noting import PATIENCE
from app.kit.db import driver
from app.kit.leases import fenced
from app.kit.money import dollars
from app.kit.reconcile import Round
from app.providers import Unsupported
from app.rentals import Tools
from app.rentals.placing.sweeping import lease_name

log = structlog.get_logger(__name__)

GRACE: Final = timedelta(hours=12)
"""How long after its end a day is compared: clouds book hours later."""
CATCH_UP_DAYS: Final = 14
AGAIN: Final = timedelta(hours=6)
"""After so long a day that differs is compared again, until the books are closed: they may only lag."""
NO_BOOKS: Final[Mapping[str, Any]] = {"books": False}

DIFFERENCES = Counter(
    "hourglass_cost_differences", "Machines of which a cloud's books say something else", ["provider", "kind"]
)

_HAD: Final = """
WITH had AS (
    SELECT a.machine_id, a.marker, a.rental_id,
           (a.listing->>'price_micros_per_hour')::bigint AS gpu, (a.listing->>'all_in_micros_per_hour')::bigint AS most,
           a.checking_at AS ran_from, least(coalesce(a.doomed_at, $4), coalesce(a.gone_at, $4)) AS ran_to,
           a.created_at AS began, coalesce(a.gone_at, $4) AS ended,
           (SELECT coalesce(sum(extract(epoch FROM least(coalesce(r.ended_at, $4), $3) - greatest(r.began_at, $2))), 0)
            FROM rental_runs r
            WHERE r.account_id = a.account_id AND r.rental_id = a.rental_id AND r.attempt = a.number
              AND r.kind = 'hibernated' AND r.began_at < $3 AND coalesce(r.ended_at, $4) > $2) AS slept
    FROM attempts a
    WHERE a.provider = $1 AND a.machine_id IS NOT NULL AND a.created_at < $3
      AND (a.gone_at IS NULL OR a.gone_at > $2)
    UNION ALL
    SELECT o.machine_id, o.marker, NULL, 0, coalesce(o.price_micros_per_hour, 0), NULL, NULL,
           least(o.created_at, o.first_seen_at), coalesce(o.destroyed_at, $4), 0
    FROM orphans o
    WHERE o.provider = $1 AND least(o.created_at, o.first_seen_at) < $3
      AND (o.destroyed_at IS NULL OR o.destroyed_at > $2)
)
SELECT DISTINCT ON (machine_id) machine_id, marker, rental_id,
       floor(gpu * greatest(0, coalesce(extract(epoch FROM least(ran_to, $3) - greatest(ran_from, $2)), 0) - slept)
             / 3600)::bigint AS least,
       ceil(most * extract(epoch FROM least(ended, $3) - greatest(began, $2)) / 3600)::bigint AS most
FROM had ORDER BY machine_id, rental_id NULLS LAST
"""
_KNOWN: Final = """
SELECT machine_id FROM machine_costs WHERE provider = $1 AND machine_id = ANY($2)
UNION SELECT machine_id FROM attempts WHERE provider = $1 AND machine_id = ANY($2)
UNION SELECT machine_id FROM orphans WHERE provider = $1 AND machine_id = ANY($2)
"""
_SAVE: Final = """
INSERT INTO cost_reconciliations (provider, day, at, ok, report) VALUES ($1, $2, $3, $4, $5::text::jsonb)
ON CONFLICT (provider, day) DO UPDATE SET at = excluded.at, ok = excluded.ok, report = excluded.report
"""
_DONE: Final = """
SELECT day FROM cost_reconciliations WHERE provider = $1 AND day >= $2
    AND (ok IS NOT FALSE OR at > $3 OR at >= (day + 1)::timestamp AT TIME ZONE 'UTC' + $4::interval)
"""
_FIRST: Final = "SELECT min(day) FROM cost_reconciliations WHERE provider = $1"


class DayAt(NamedTuple):
    """A day of UTC at one cloud."""

    provider: str
    day: date


async def find(tools: Tools, this: Round, limit: int) -> Sequence[DayAt]:
    """Return the days that are over and were not compared, at the clouds that this worker holds, the oldest first.

    A day that differs is due again, as long as the books may lag. Days before the first that was ever compared do not count: there was nothing to compare.
    """
    mine = [name for name in sorted(tools.providers) if this.holding.holds(lease_name(name))]
    async with tools.db.begin_unscoped() as session:
        found = [DayAt(name, day) for name in mine for day in await _due(session, name, at=this.at)]
    return sorted(found, key=lambda one: one.day)[:limit]


async def step(tools: Tools, this: Round, one: DayAt) -> str:
    """Compare one day; a cloud that does not answer is asked again."""
    comparison = await _compare(tools, one, at=this.at)
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [lease_name(one.provider)])
        await _save(session, one, comparison, at=this.at)
    _tell(one, comparison, at=this.at)
    return "no_books" if comparison is None else "agrees" if comparison.ok else "differs"


async def compare_day(tools: Tools, provider: str, day: date, *, at: datetime) -> Comparison | None:
    """Compare a day by hand and keep the report; None where the cloud has no books.

    Raises:
        ProviderError: the cloud did not answer; nothing is kept.
    """
    one = DayAt(provider, day)
    comparison = await _compare(tools, one, at=at)
    async with tools.db.begin_unscoped() as session:
        await _save(session, one, comparison, at=at)
    _tell(one, comparison, at=at)
    return comparison


async def _compare(tools: Tools, one: DayAt, *, at: datetime) -> Comparison | None:
    """Ask for the books first: of what they name we know by then."""
    since, until = _midnight(one.day), _midnight(one.day) + timedelta(days=1)
    try:
        lines = await tools.providers[one.provider].list_costs(start=since, end=until)
    except Unsupported:
        return None
    async with tools.db.begin_unscoped() as session:
        rows = await driver(session).fetch(_HAD, one.provider, since, until, min(at, until))
        ids = sorted({line.machine_id for line in lines})
        known = {row["machine_id"] for row in await driver(session).fetch(_KNOWN, one.provider, ids)}
    return compare(
        lines,
        [Had(**row) for row in rows],
        known=known,
        is_ours=lambda marker: marker.startswith(tools.marker_prefix),
    )


async def _due(session: AsyncSession, provider: str, *, at: datetime) -> list[date]:
    last = (at - GRACE).date() - timedelta(days=1)
    first: date = await driver(session).fetchval(_FIRST, provider) or last
    days = [last - timedelta(days=back) for back in reversed(range(CATCH_UP_DAYS))]
    done = {row["day"] for row in await driver(session).fetch(_DONE, provider, days[0], at - AGAIN, PATIENCE)}
    return [day for day in days if day >= first and day not in done]


async def _save(session: AsyncSession, one: DayAt, comparison: Comparison | None, *, at: datetime) -> None:
    report, ok = (NO_BOOKS, None) if comparison is None else (comparison.document(), comparison.ok)
    await driver(session).execute(_SAVE, one.provider, one.day, at, ok, json.dumps(report))


def _tell(one: DayAt, comparison: Comparison | None, *, at: datetime) -> None:
    """A machine that we don't know of is an alarm at once; anything else once the books can't only lag."""
    closed = at >= _midnight(one.day) + timedelta(days=1) + PATIENCE
    for found in comparison.differences if comparison else ():
        alarming = closed or found.kind == "unknown"
        if alarming:
            DIFFERENCES.labels(one.provider, found.kind).inc()
        tell = log.error if alarming else log.warning
        tell("costs.books_differ", provider=one.provider, day=one.day.isoformat(), **found.document())
    if comparison is not None:
        log.info(
            "costs.day_compared",
            provider=one.provider,
            day=one.day.isoformat(),
            machines=comparison.machines,
            theirs=dollars(comparison.theirs),
            differences=len(comparison.differences),
        )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
