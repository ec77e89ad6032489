"""How much cheaper spot is, measured from the prices of the hours that are kept; never a constant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver


@dataclass(frozen=True, slots=True)
class SpotDiscount:
    """What was measured of one family, over all providers or at one."""

    provider: str | None
    """None: over all."""
    discount_ppm: int
    """Parts per million of the on-demand price; negative where spot was dearer."""
    hours: int
    """How many hours of a provider and region had both kinds: the size of the sample."""


async def list_spot_discounts(session: AsyncSession, family: str, *, since: datetime) -> list[SpotDiscount]:
    """Return a family's discounts, that over all providers first; nothing where no place had both kinds in one hour.

    Each is the median over hours and places of 1 - spot median / on-demand median.
    """
    rows = await driver(session).fetch(
        """
        SELECT demand.provider, count(*) AS hours, percentile_disc(0.5) WITHIN GROUP (
            ORDER BY 1000000 - spot.median_micros * 1000000 / demand.median_micros) AS discount_ppm
        FROM price_history demand
        JOIN price_history spot ON spot.family = demand.family AND spot.provider = demand.provider
            AND spot.region_id = demand.region_id AND spot.hour = demand.hour AND spot.spot
        WHERE demand.family = $1 AND demand.hour >= $2 AND spot.hour >= $2 AND NOT demand.spot
        GROUP BY GROUPING SETS ((), (demand.provider)) HAVING count(*) > 0
        ORDER BY demand.provider NULLS FIRST
        """,
        family,
        since,
    )
    return [SpotDiscount(**row) for row in rows]
