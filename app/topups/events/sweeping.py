"""Sweeping Stripe's own list of events: what no message brought is brought here, into the same queue.

The list is read from where the last sweep ended, and a while before that: an event may show in it late. All times are
Stripe's, so that no clock of ours can leave a gap. What is there already is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database, driver
from app.topups.events import queue as event_queue
from app.topups.events.pointing import TYPES
from app.topups.gateway.account import Stripe
from app.topups.gateway.facts import EventPage

log = structlog.get_logger(__name__)

OVERLAP: Final = timedelta(minutes=15)
FIRST_LOOK_BACK: Final = timedelta(days=1)
"""How far back the very first sweep looks: a little before this database knew of any payment."""
_CURSOR: Final = "events"
_PAGES_MAX = 500

SWEPT_UP_TO = Gauge("hourglass_stripe_swept_up_to_timestamp_seconds", "When the newest event that a sweep saw was made")

_READ_CURSOR: Final = "SELECT at FROM stripe_cursors WHERE name = $1"
_MOVE_CURSOR: Final = """
INSERT INTO stripe_cursors (name, position, at) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET position = excluded.position, at = excluded.at WHERE stripe_cursors.at <= excluded.at
"""


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep found."""

    seen: int
    new: int
    """How many of them no message had brought."""


async def sweep(db: Database, stripe: Stripe, *, at: datetime) -> Swept:
    """Store every event since the last sweep that is not stored yet. What was read stays read if it ends half-way.

    Two sweeps at once are harmless: each event is stored once, and the cursor only moves on.

    Raises:
        StripeUnavailable, StripeBusy, StripeUnauthorized: Stripe did not answer.
    """
    since = await _since(db, at=at)
    seen = new = 0
    after: str | None = None
    for _ in range(_PAGES_MAX):
        page = await stripe.list_events(types=TYPES, after=after, since=since)
        if not page.events:
            break
        stored = await _take(db, page, at=at)
        seen, new = seen + len(page.events), new + stored
        after = page.events[-1].id
        if not page.has_more:
            break
    if new:
        event_queue.STORED.labels("sweep").inc(new)
        log.warning("stripe.events_missed", seen=seen, new=new)
    return Swept(seen, new)


async def _since(db: Database, *, at: datetime) -> datetime:
    async with db.begin_unscoped() as session:
        swept_to = await driver(session).fetchval(_READ_CURSOR, _CURSOR)
        if swept_to is None:
            swept_to = at - FIRST_LOOK_BACK
            await driver(session).execute(_MOVE_CURSOR, _CURSOR, None, swept_to)
    since: datetime = swept_to - OVERLAP
    return since


async def _take(db: Database, page: EventPage, *, at: datetime) -> int:
    """Store a page and move the cursor to its end, both or neither; return how many events were new."""

    async def work(session: AsyncSession) -> int:
        new = [await event_queue.store(session, event, source="sweep", at=at) for event in page.events]
        newest = max(page.events, key=lambda event: event.created_at)
        await driver(session).execute(_MOVE_CURSOR, _CURSOR, newest.id, newest.created_at)
        SWEPT_UP_TO.set(newest.created_at.timestamp())
        return sum(new)

    return await db.run(work)
