"""The queue of Stripe's events: stored once each, handed out until they are handled, given up late and loudly.

Stripe itself retries for three days; ours is a queue of its own, so that an acknowledged event is never lost with the
first failure. Handling is repeated after growing pauses; an outage of Stripe's counts for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.leases import bucket_of
from app.topups.events.pointing import pointer_of
from app.topups.gateway.facts import EventFacts

log = structlog.get_logger(__name__)

STORED = Counter("hourglass_stripe_events_stored", "Events of Stripe's that were new to us", ["source"])
HANDLED = Counter("hourglass_stripe_events_handled", "Events of Stripe's by what came of them", ["state", "outcome"])
DEAD = Counter("hourglass_stripe_events_dead", "Events of Stripe's that were given up: a person must look")
WAITING = Gauge("hourglass_stripe_events_waiting", "Events of Stripe's that are not handled yet")

TRIES_MAX: Final = 26
"""With pauses that grow to six hours: somewhat more than three days."""
_PAUSE_FIRST = timedelta(seconds=5)
_PAUSE_MAX = timedelta(hours=6)
OUTAGE_PAUSE: Final = timedelta(seconds=30)
_OUTCOME_CHARACTERS_MAX = 200
_SECRET: Final = re.compile(rb'("client_secret"\s*:\s*)"[^"\\]*"')
"""With it a browser may act on a payment; we never need one."""

Source = Literal["webhook", "sweep"]
End = Literal["done", "ignored"]

# No conflict target and nothing returned: for the API role, which may insert here and read nothing.
_STORE: Final = """
INSERT INTO stripe_events (id, bucket, type, api_version, created_at, livemode, payload, object_id, received_at, source,
                           state, tries, next_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'new', 0, $9) ON CONFLICT DO NOTHING
"""
_FIND: Final = """
SELECT id, bucket, type, payload, tries FROM stripe_events
WHERE state = 'new' AND next_at <= $1 AND bucket = ANY($2) ORDER BY next_at, id LIMIT $3
"""
_COUNT: Final = "SELECT count(*) FROM stripe_events WHERE state = 'new'"
_END: Final = """
UPDATE stripe_events SET state = $2, outcome = $3, handled_at = $4, next_at = NULL
WHERE id = $1 AND state = 'new' RETURNING true
"""
_PUT_OFF: Final = """
UPDATE stripe_events SET outcome = $2, tries = $3, next_at = $4 WHERE id = $1 AND state = 'new'
"""
_REVIVE: Final = """
UPDATE stripe_events SET state = 'new', tries = 0, next_at = $1, handled_at = NULL WHERE state = 'dead' RETURNING id
"""
_PRUNE: Final = """
DELETE FROM stripe_events WHERE id IN (
    SELECT id FROM stripe_events WHERE state IN ('done', 'ignored') AND received_at < $1 LIMIT $2)
"""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is kept."""

    id: str
    bucket: int
    type: str
    payload: bytes
    tries: int

    def __str__(self) -> str:
        """Name it for the runner."""
        return self.id


async def store(session: AsyncSession, event: EventFacts, *, source: Source, at: datetime) -> bool:
    """Store an event and return whether it was new. Needs no more than the right to insert.

    Events of one payment are for one worker, as long as they name it. It is kept as it came, but for its secrets.
    """
    pointer = pointer_of(event.type, event.data_object)
    done: str = await driver(session).execute(
        _STORE,
        event.id,
        bucket_of(pointer.id if pointer else event.id),
        event.type,
        event.api_version,
        event.created_at,
        event.livemode,
        _without_secrets(event.payload),
        event.object_id,
        at,
        source,
    )
    return done == "INSERT 0 1"


async def find_due(session: AsyncSession, *, at: datetime, buckets: Sequence[int], limit: int) -> list[StoredEvent]:
    """Return events that are to be handled now, those that wait longest first."""
    rows = await driver(session).fetch(_FIND, at, list(buckets), limit)
    return [StoredEvent(row["id"], row["bucket"], row["type"], bytes(row["payload"]), row["tries"]) for row in rows]


async def count_waiting(session: AsyncSession) -> int:
    """Return how many events are not handled yet."""
    waiting: int = await driver(session).fetchval(_COUNT)
    return waiting


async def end(session: AsyncSession, event: StoredEvent, *, state: End, outcome: str, at: datetime) -> None:
    """Note what came of an event; it is not handed out again."""
    if await driver(session).fetchval(_END, event.id, state, outcome, at):
        HANDLED.labels(state, outcome).inc()


async def put_off(session: AsyncSession, event: StoredEvent, *, reason: str, at: datetime) -> None:
    """Hand an event out again once Stripe, or our database, can be asked: this try does not count."""
    await driver(session).execute(_PUT_OFF, event.id, reason[:_OUTCOME_CHARACTERS_MAX], event.tries, at + OUTAGE_PAUSE)


async def note_failure(session: AsyncSession, event: StoredEvent, *, reason: str, at: datetime) -> bool:
    """Hand an event out again after a pause, or give it up; return whether it was given up."""
    tries = event.tries + 1
    if tries < TRIES_MAX:
        again_at = at + pause_after(tries)
        await driver(session).execute(_PUT_OFF, event.id, reason[:_OUTCOME_CHARACTERS_MAX], tries, again_at)
        return False
    if await driver(session).fetchval(_END, event.id, "dead", reason[:_OUTCOME_CHARACTERS_MAX], at):
        DEAD.inc()
        log.error("stripe.event_dead", event_id=event.id, type=event.type, reason=reason, tries=tries)
    return True


async def revive(session: AsyncSession, *, at: datetime) -> int:
    """Hand out every event that was given up, from the beginning; return how many."""
    return len(await driver(session).fetch(_REVIVE, at))


async def prune(session: AsyncSession, *, before: datetime, limit: int = 1000) -> int:
    """Forget handled events that came before a moment, at most so many; return how many."""
    done: str = await driver(session).execute(_PRUNE, before, limit)
    return int(done.rpartition(" ")[2])


def pause_after(tries: int) -> timedelta:
    """Return how long to wait after so many failures."""
    return min(_PAUSE_MAX, _PAUSE_FIRST * (1 << min(tries - 1, 20)))


def _without_secrets(payload: bytes) -> bytes:
    return _SECRET.sub(rb"\1null", payload)
