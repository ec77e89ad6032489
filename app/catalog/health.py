"""How well machines of a provider and family start and stay, measured from what happened to ours."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver

MEASURED_DAYS = 7
_HOURS_MIN = 24
"""Fewer machine hours than this say nothing about interruptions."""


async def record_machine(
    session: AsyncSession,
    *,
    fact_id: str,
    kind: Literal["launch", "run"],
    provider: str,
    family: str,
    spot: bool,
    good: bool,
    seconds: int,
    at: datetime,
) -> None:
    """Note how a launch (good: it came up) or a run (good: not interrupted) ended, and how long it took. Once per id."""
    await driver(session).execute(
        "INSERT INTO machine_facts (id, kind, provider, family, spot, good, seconds, at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        fact_id,
        kind,
        provider,
        family,
        spot,
        good,
        max(0, seconds),
        at,
    )


async def measure_health(session: AsyncSession, *, at: datetime) -> None:
    """Sum up the last days' facts for the listings to show, and delete older facts."""
    since = at - timedelta(days=MEASURED_DAYS)
    connection = driver(session)
    await connection.execute("DELETE FROM machine_facts WHERE at < $1", since)
    await connection.execute("DELETE FROM machine_health")
    await connection.execute(
        """
        INSERT INTO machine_health (provider, family, spot, launches, launch_success_ppm, provision_seconds_p50,
            interruptions_per_hour_ppm)
        SELECT provider, family, spot, count(*) FILTER (WHERE kind = 'launch'),
            count(*) FILTER (WHERE kind = 'launch' AND good) * 1000000
                / NULLIF(count(*) FILTER (WHERE kind = 'launch'), 0),
            percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE kind = 'launch' AND good),
            CASE WHEN sum(seconds) FILTER (WHERE kind = 'run') >= $1 THEN
                count(*) FILTER (WHERE kind = 'run' AND NOT good) * 3600000000
                    / (sum(seconds) FILTER (WHERE kind = 'run'))::bigint END
        FROM machine_facts GROUP BY provider, family, spot
        """,
        _HOURS_MIN * 3600,
    )
