"""What was compared when, and what came of it: one row a day and one a month, written again when it is done again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import structlog
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database, driver
from app.kit.money import dollars
from app.ledger.liability import RollForward, roll_forward
from app.topups.books.reconciling import DIFFERENCES, DayReport, reconcile_day
from app.topups.tools import TopupTools

log = structlog.get_logger(__name__)

GRACE: Final = timedelta(hours=1)
"""How long after its end a day or a month is compared: what was on its way has arrived."""
CATCH_UP_DAYS: Final = 14
DAY, MONTH = "day", "month"

LIABILITY = Gauge("hourglass_liability_micros", "What we owed all customers at the end of the last month compared")

_SAVE: Final = """
INSERT INTO reconciliations (id, kind, at, ok, report) VALUES ($1, $2, $3, $4, $5::text::jsonb)
ON CONFLICT (id) DO UPDATE SET at = excluded.at, ok = excluded.ok, report = excluded.report
"""
_DONE: Final = "SELECT id FROM reconciliations WHERE id = ANY($1)"
_FIRST: Final = "SELECT min(id) FROM reconciliations WHERE kind = $1"
_READ: Final = "SELECT report::text FROM reconciliations WHERE id = $1"


async def compare_day(tools: TopupTools, day: date, *, at: datetime) -> DayReport:
    """Compare a day with Stripe and keep the report.

    Raises:
        StripeUnavailable, StripeBusy, StripeUnauthorized: Stripe did not answer; nothing is kept.
    """
    report = await reconcile_day(tools, day, at=at)
    await _save(tools.db, _name(DAY, day), DAY, at=at, ok=report.ok, report=report.document())
    return report


async def compare_month(db: Database, month: date, *, at: datetime) -> Mapping[str, Any]:
    """Roll the liability forward over a month, named by its first day, and keep the report; return it as JSON.

    The month must begin with what the month before ended with: a movement that was dated back into it shows.
    """
    rolled = await roll_forward(db, since=_midnight(month), until=_midnight(_next(month)))
    before = await _read(db, _name(MONTH, _previous(month)))
    report = _document(month, rolled, closed_with=before["closing"] if before else None)
    if not report["ok"]:
        DIFFERENCES.labels("liability", "left").inc()
        log.error("liability.differs", month=report["month"], difference=report["difference"])
    LIABILITY.set(rolled.closing)
    await _save(db, _name(MONTH, month), MONTH, at=at, ok=report["ok"], report=report)
    return report


async def find_due(session: AsyncSession, *, at: datetime) -> list[tuple[str, date]]:
    """Return the days and the month that are over and were not compared, the oldest first.

    Days before the first that was ever compared do not count: there was nothing to compare.
    """
    last = (at - GRACE).date() - timedelta(days=1)
    first = await driver(session).fetchval(_FIRST, DAY) or _name(DAY, last)
    days = [last - timedelta(days=back) for back in reversed(range(CATCH_UP_DAYS))]
    wanted = [(DAY, day) for day in days if _name(DAY, day) >= first]
    wanted.append((MONTH, _previous((at - GRACE).date().replace(day=1))))
    done = await driver(session).fetch(_DONE, [_name(kind, day) for kind, day in wanted])
    names = {row["id"] for row in done}
    return [(kind, day) for kind, day in wanted if _name(kind, day) not in names]


def _document(month: date, rolled: RollForward, *, closed_with: str | None) -> dict[str, Any]:
    opening, difference = dollars(rolled.opening), rolled.difference
    return {
        "month": f"{month:%Y-%m}",
        "opening": opening,
        "flows": {kind.value: dollars(change) for kind, change in sorted(rolled.flows.items())},
        "closing": dollars(rolled.closing),
        "difference": dollars(difference),
        "previous_closing": closed_with,
        "ok": difference == 0 and closed_with in (None, opening),
    }


async def _save(db: Database, name: str, kind: str, *, at: datetime, ok: bool, report: Mapping[str, Any]) -> None:
    async def work(session: AsyncSession) -> None:
        await driver(session).execute(_SAVE, name, kind, at, ok, json.dumps(report))

    await db.run(work)


async def _read(db: Database, name: str) -> dict[str, Any] | None:
    async with db.begin_unscoped() as session:
        found: str | None = await driver(session).fetchval(_READ, name)
    return None if found is None else json.loads(found)


def _name(kind: str, day: date) -> str:
    return f"{kind}:{day.isoformat()}" if kind == DAY else f"{kind}:{day:%Y-%m}"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _next(month: date) -> date:
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)


def _previous(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)
