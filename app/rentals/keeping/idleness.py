"""Idleness: how busy each GPU of a rental was, day by day, from what the watch sees every few minutes.

A sample stands for the time since the machine last answered, within the present run and for ten minutes at most; that
time is divided where a day of UTC ends. Between two samples a GPU may have done anything: it is an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver

IDLE_PERCENT: Final = 5
"""At or below so much utilisation a GPU counts as idle: a process that only waits may show a percent or two."""
STANDS_FOR_SECONDS_MAX: Final = 600

_SAVE: Final = f"""
WITH told AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::int[]) AS t(account_id, rental_id, number, gpu, percent)
), parts AS (
    SELECT t.account_id, t.rental_id, t.gpu, t.percent, d::date AS day,
           floor(extract(epoch FROM least($6::timestamptz, d + interval '1 day')))::bigint
           - floor(extract(epoch FROM greatest(s.since, d)))::bigint AS seconds
    FROM told t
    JOIN attempts a ON a.account_id = t.account_id AND a.rental_id = t.rental_id AND a.number = t.number
    JOIN rentals r ON r.account_id = t.account_id AND r.id = t.rental_id,
    LATERAL (SELECT greatest(a.answered_at, r.run_since, $6::timestamptz - interval '{STANDS_FOR_SECONDS_MAX} seconds') AS since) s,
    generate_series(date_trunc('day', s.since, 'UTC'), $6::timestamptz, interval '1 day') d
    WHERE r.run_since IS NOT NULL AND s.since <= $6::timestamptz
)
INSERT INTO gpu_use AS u (account_id, day, rental_id, gpu, samples, seconds, idle_seconds, percent_seconds, last_percent,
                          sampled_at)
SELECT account_id, day, rental_id, gpu, 1, seconds, CASE WHEN percent <= {IDLE_PERCENT} THEN seconds ELSE 0 END,
       percent * seconds, percent, $6::timestamptz
FROM parts WHERE seconds > 0 ORDER BY account_id, day, rental_id, gpu
ON CONFLICT (account_id, day, rental_id, gpu) DO UPDATE
SET samples = u.samples + 1, seconds = u.seconds + excluded.seconds, idle_seconds = u.idle_seconds + excluded.idle_seconds,
    percent_seconds = u.percent_seconds + excluded.percent_seconds, last_percent = excluded.last_percent,
    sampled_at = excluded.sampled_at
"""  # noqa: S608 - a constant


class Sample(NamedTuple):
    """What one machine told: utilisation in percent by GPU."""

    account_id: str
    rental_id: str
    number: int
    """Of the attempt whose machine it is."""
    percents: Mapping[int, int]


async def save_use(session: AsyncSession, samples: Sequence[Sample], *, at: datetime) -> None:
    """Add samples to their days: one statement. Before ``save_answers``, which says since when the next ones count."""
    told = [(*sample[:3], gpu, percent) for sample in samples for gpu, percent in sorted(sample.percents.items())]
    if told:
        await driver(session).execute(_SAVE, *(list(column) for column in zip(*told, strict=True)), at)
