"""What GPUs cost, hour by hour: prices per GPU hour without disk, for each family, provider, region and kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver

HISTORY_DAYS = 90
POINTS_MAX = 5000


@dataclass(frozen=True, slots=True)
class PricePoint:
    """One hour of one family at one provider in one region."""

    family: str
    provider: str
    region_id: str
    spot: bool
    hour: datetime
    min_micros: int
    """The lowest seen within the hour."""
    median_micros: int
    """Over the listings at the hour's last poll, as is p90; both are prices that really stood there."""
    p90_micros: int
    listings: int


async def record_prices(session: AsyncSession, provider: str, *, at: datetime) -> None:
    """Write the current hour's prices of a provider from its listings."""
    await make_months(session, since=at, until=at)
    await driver(session).execute(
        """
        INSERT INTO price_history AS h
            (family, provider, region_id, spot, hour, min_micros, median_micros, p90_micros, listings)
        SELECT family, provider, region_id, spot, date_trunc('hour', $2::timestamptz, 'UTC'), min(each),
            percentile_disc(0.5) WITHIN GROUP (ORDER BY each), percentile_disc(0.9) WITHIN GROUP (ORDER BY each), count(*)
        FROM (SELECT *, (price_micros_per_hour + gpu_count - 1) / gpu_count AS each FROM listings
              WHERE provider = $1 AND gone_at IS NULL) l
        GROUP BY family, provider, region_id, spot
        ON CONFLICT (family, provider, region_id, spot, hour) DO UPDATE SET
            min_micros = LEAST(h.min_micros, excluded.min_micros), median_micros = excluded.median_micros,
            p90_micros = excluded.p90_micros, listings = excluded.listings
        """,
        provider,
        at,
    )


async def list_prices(
    session: AsyncSession,
    *,
    family: str,
    since: datetime,
    until: datetime,
    provider: str | None = None,
    region_id: str | None = None,
    spot: bool | None = None,
) -> list[PricePoint]:
    """Return the hours of a family from ``since`` (inclusive) to ``until`` (exclusive), oldest first, bounded."""
    rows = await driver(session).fetch(
        """
        SELECT family, provider, region_id, spot, hour, min_micros, median_micros, p90_micros, listings
        FROM price_history
        WHERE family = $1 AND hour >= $2 AND hour < $3 AND ($4::text IS NULL OR provider = $4)
            AND ($5::text IS NULL OR region_id = $5) AND ($6::boolean IS NULL OR spot = $6)
        ORDER BY hour, provider, region_id, spot LIMIT $7
        """,
        family,
        since,
        until,
        provider,
        region_id,
        spot,
        POINTS_MAX,
    )
    return [PricePoint(**row) for row in rows]


async def spot_discount_ppm(session: AsyncSession, family: str, *, since: datetime) -> int | None:
    """Return how much cheaper spot was, measured: the median over hours and providers that had both kinds.

    A part per million of the on-demand median; negative where spot was dearer, None where nothing was measured.
    """
    value = await driver(session).fetchval(
        """
        SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY 1000000 - spot.micros * 1000000 / demand.micros)
        FROM (SELECT provider, hour, min(median_micros) AS micros FROM price_history
              WHERE family = $1 AND hour >= $2 AND spot GROUP BY provider, hour) spot
        JOIN (SELECT provider, hour, min(median_micros) AS micros FROM price_history
              WHERE family = $1 AND hour >= $2 AND NOT spot GROUP BY provider, hour) demand USING (provider, hour)
        """,
        family,
        since,
    )
    return None if value is None else int(value)


async def make_months(session: AsyncSession, *, since: datetime, until: datetime) -> int:
    """Make the partitions that prices of this time go to, where they are missing; return how many were made."""
    return int(await driver(session).fetchval("SELECT make_price_months($1, $2)", since, until))


async def forget_old_prices(session: AsyncSession, *, at: datetime) -> int:
    """Drop the months that lie beyond the days kept as a whole; return how many. Nothing is deleted row by row.

    Waits two seconds at most for those who are reading: it is tried again.
    """
    return int(await driver(session).fetchval("SELECT drop_price_months($1)", at - timedelta(days=HISTORY_DAYS)))
