"""How well machines of a provider and family start and stay, measured from what happened to ours."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver

MEASURED_DAYS = 7
_HOURS_MIN = 24
"""Fewer machine hours than this say nothing about interruptions."""
_TRUSTED_LAUNCHES = 20
"""Every cloud is credited with so many launches that succeeded: one failure is no rate."""
_TRIES_PERMILLE_MAX = 4000


_MEASURE_HEALTH = """
    INSERT INTO machine_health (provider, family, spot, launches, launch_success_ppm, provision_seconds_p50,
        interruptions_per_hour_ppm, tries_permille)
    SELECT provider, family, spot, launches, good * 1000000 / NULLIF(launches, 0), p50,
        CASE WHEN run_seconds >= $1 THEN interrupted * 3600000000 / run_seconds END,
        LEAST($3::bigint, ((launches + $2::bigint) * 1000 + good + $2 - 1) / (good + $2))
    FROM (
        SELECT provider, family, spot,
            count(*) FILTER (WHERE kind = 'launch') AS launches,
            count(*) FILTER (WHERE kind = 'launch' AND good) AS good,
            percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE kind = 'launch' AND good) AS p50,
            count(*) FILTER (WHERE kind = 'run' AND NOT good) AS interrupted,
            (sum(seconds) FILTER (WHERE kind = 'run'))::bigint AS run_seconds
        FROM machine_facts GROUP BY provider, family, spot) facts
"""


async def record_machine(  # noqa: PLR0913 - a fact has as many figures as it has
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
    region_id: str | None = None,
    latency_ms: int | None = None,
) -> None:
    """Note how a launch (good: it came up) or a run (good: not interrupted) ended, and how long it took. Once per id.

    ``latency_ms``: how long it took to connect to the machine's SSH server, where that was measured.
    """
    await driver(session).execute(
        "INSERT INTO machine_facts (id, kind, provider, family, spot, good, seconds, at, region_id, latency_ms) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        fact_id,
        kind,
        provider,
        family,
        spot,
        good,
        max(0, seconds),
        at,
        region_id,
        latency_ms,
    )


async def measure_health(session: AsyncSession, *, at: datetime) -> None:
    """Sum up the last days' facts for listings to show and to be ranked by, and delete older facts.

    The chance of a launch is taken as p = (good + 20) / (launches + 20); a machine then takes 1/p tries, four at most.
    """
    since = at - timedelta(days=MEASURED_DAYS)
    connection = driver(session)
    await connection.execute("DELETE FROM machine_facts WHERE at < $1", since)
    await connection.execute("DELETE FROM machine_health")
    await connection.execute(_MEASURE_HEALTH, _HOURS_MIN * 3600, _TRUSTED_LAUNCHES, _TRIES_PERMILLE_MAX)
    await connection.execute("DELETE FROM place_latencies")
    await connection.execute(
        "INSERT INTO place_latencies (provider, region_id, latency_ms_p50, machines) "
        "SELECT provider, region_id, percentile_disc(0.5) WITHIN GROUP (ORDER BY latency_ms), count(*) "
        "FROM machine_facts WHERE latency_ms IS NOT NULL AND region_id IS NOT NULL GROUP BY provider, region_id"
    )
