"""What GPUs cost, hour by hour: prices per GPU hour without disk, for each family, provider, region and kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database, driver
from app.kit.ids import AccountId

HISTORY_DAYS = 90
POINTS_MAX = 5000

PricePosition = tuple[datetime, str, str, bool]


class Interval(StrEnum):
    """How much time a point is of."""

    HOUR = "hour"
    DAY = "day"
    """In UTC: the lowest minimum, the median of the medians, the 90th percentile of those."""


_OF_EACH = {
    Interval.HOUR: "SELECT family, provider, region_id, spot, hour, min_micros, median_micros, p90_micros, listings",
    Interval.DAY: """SELECT family, provider, region_id, spot, date_trunc('day', hour, 'UTC') AS hour,
        min(min_micros) AS min_micros, percentile_disc(0.5) WITHIN GROUP (ORDER BY median_micros) AS median_micros,
        percentile_disc(0.9) WITHIN GROUP (ORDER BY p90_micros) AS p90_micros, max(listings) AS listings""",
}
_TOGETHER = {Interval.HOUR: "", Interval.DAY: "GROUP BY 1, 2, 3, 4, 5"}


@dataclass(frozen=True, slots=True)
class PricePoint:
    """One hour, or one day, of one family at one provider in one region."""

    family: str
    provider: str
    region_id: str
    spot: bool
    hour: datetime
    """Its beginning, or that of the day."""
    min_micros: int
    """The lowest seen within the hour."""
    median_micros: int
    """Over the listings at the hour's last poll, as is p90; both are prices that really stood there."""
    p90_micros: int
    listings: int

    @property
    def position(self) -> PricePosition:
        """Its place in the order of a list."""
        return self.hour, self.provider, self.region_id, self.spot


@dataclass(frozen=True, slots=True, kw_only=True)
class PricesWanted:
    """Which hours, from ``since`` (inclusive) to ``until`` (exclusive). None: no matter."""

    family: str
    since: datetime
    until: datetime
    provider: str | None = None
    region_id: str | None = None
    spot: bool | None = None
    interval: Interval = Interval.HOUR


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
    session: AsyncSession, wanted: PricesWanted, *, after: PricePosition | None = None, limit: int = POINTS_MAX
) -> list[PricePoint]:
    """Return the hours or days that are wanted, oldest first, beginning behind ``after``."""
    hour, provider, region_id, spot = after or (None, None, None, None)
    rows = await driver(session).fetch(
        f"""
        SELECT * FROM ({_OF_EACH[wanted.interval]}
            FROM price_history
            WHERE family = $1 AND hour >= GREATEST($2, $8::timestamptz) AND hour < $3
                AND ($4::text IS NULL OR provider = $4) AND ($5::text IS NULL OR region_id = $5)
                AND ($6::boolean IS NULL OR spot = $6)
            {_TOGETHER[wanted.interval]}) points
        WHERE $8 IS NULL OR (hour, provider, region_id, spot) > ($8, $9::text, $10::text, $11::boolean)
        ORDER BY hour, provider, region_id, spot LIMIT $7
        """,  # noqa: S608 - text of ours
        wanted.family,
        wanted.since,
        wanted.until,
        wanted.provider,
        wanted.region_id,
        wanted.spot,
        limit,
        hour,
        provider,
        region_id,
        spot,
    )
    return [PricePoint(**row) for row in rows]


async def every_price(
    db: Database, wanted: PricesWanted, *, account_id: AccountId, after: PricePosition | None = None
) -> AsyncIterator[list[PricePoint]]:
    """Yield all that is wanted, part by part, each from a short transaction: who reads slowly holds up nobody."""
    while True:
        async with db.begin(account_id) as session:
            points = await list_prices(session, wanted, after=after)
        if points:
            yield points
        if len(points) < POINTS_MAX:
            return
        after = points[-1].position


async def make_months(session: AsyncSession, *, since: datetime, until: datetime) -> int:
    """Make the partitions that prices of this time go to, where they are missing; return how many were made."""
    return int(await driver(session).fetchval("SELECT make_price_months($1, $2)", since, until))


async def forget_old_prices(session: AsyncSession, *, at: datetime) -> int:
    """Drop the months that lie beyond the days kept as a whole; return how many. Nothing is deleted row by row.

    Waits two seconds at most for those who are reading: it is tried again.
    """
    return int(await driver(session).fetchval("SELECT drop_price_months($1)", at - timedelta(days=HISTORY_DAYS)))
