"""Noting: a machine that is gone gets a row whose cost is asked for; one that nobody tells of is closed by our own sum."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver

LOOK_BACK: Final = timedelta(days=30)
"""A machine that ended before is not looked for any more: no worker was away for so long."""
OVERLAP: Final = timedelta(days=1)
"""So far before the latest end that is noted another may turn up: workers' clocks differ, and commits take their time."""
PATIENCE: Final = timedelta(days=3)
"""How long a cloud's books may lag."""

_NOTE: Final = """
INSERT INTO machine_costs AS c (provider, machine_id, marker, account_id, rental_id, attempt, family, price, began_at,
                                ran_from, ended_at, state, exact, tries, next_at)
SELECT DISTINCT ON (provider, machine_id) provider, machine_id, marker, account_id, rental_id, attempt, family, price,
       began_at, least(ran_from, ended_at), ended_at, 'open', false, 0, $1
FROM (
    SELECT a.provider, a.machine_id, a.marker, a.account_id, a.rental_id, a.number AS attempt,
           a.listing->>'family' AS family, (a.listing->>'all_in_micros_per_hour')::bigint AS price,
           a.created_at AS began_at, coalesce(a.checking_at, a.booting_at, a.created_at) AS ran_from,
           a.gone_at AS ended_at
    FROM attempts a WHERE a.status = 'gone' AND a.machine_id IS NOT NULL AND a.gone_at > $2
    UNION ALL
    SELECT o.provider, o.machine_id, o.marker, NULL, NULL, NULL, NULL, coalesce(o.price_micros_per_hour, 0),
           least(o.created_at, o.first_seen_at), least(o.created_at, o.first_seen_at), o.destroyed_at
    FROM orphans o WHERE o.destroyed_at > $2
) gone
WHERE NOT EXISTS (
    SELECT 1 FROM machine_costs known
    WHERE known.provider = gone.provider AND known.machine_id = gone.machine_id AND known.ended_at >= gone.ended_at)
ORDER BY provider, machine_id, ended_at DESC
ON CONFLICT (provider, machine_id) DO UPDATE
SET ended_at = excluded.ended_at, state = 'open', exact = false, tries = 0, next_at = excluded.next_at
WHERE c.ended_at < excluded.ended_at
"""

_CLOSE: Final = """
UPDATE machine_costs SET state = 'final', next_at = NULL,
    micros = coalesce(micros, ceil(price * extract(epoch FROM ended_at - ran_from) / 3600)::bigint)
WHERE state = 'open' AND ended_at < $1
"""


async def note_ended(session: AsyncSession, *, at: datetime) -> int:
    """Open a cost for each machine that is gone and has none, or went later than was thought; return how many."""
    latest: datetime | None = await driver(session).fetchval("SELECT max(ended_at) FROM machine_costs")
    since = max(at - LOOK_BACK, latest - OVERLAP) if latest else at - LOOK_BACK
    return _count(await driver(session).execute(_NOTE, at, since))


async def close_forgotten(session: AsyncSession, *, at: datetime) -> int:
    """Close what no cloud told of in time, by what it told last or by our own sum; return how many."""
    return _count(await driver(session).execute(_CLOSE, at - PATIENCE))


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
