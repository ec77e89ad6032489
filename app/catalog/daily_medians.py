"""Prices of days past, from a file of daily medians: so that history and discounts are there from the first day.

The file is CSV with a line of names: ``date, provider, gpu, rental_type, usd_per_gpu_hour``. A day's price becomes that of
its first hour, in the region ``all``; several models of one family at one provider are one point with a real minimum,
median and 90th percentile. What we measure ourselves stands in regions of its own and is never touched.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from app.catalog.families import find_family
from app.catalog.history import HISTORY_DAYS, make_months
from app.catalog.normalising import PRICE_MICROS_PER_GPU_HOUR_MAX
from app.catalog.queries import list_providers
from app.kit.db import driver
from app.kit.money import MICROS_PER_DOLLAR

EVERYWHERE = "all"
"""The region of a price that is told for a whole provider."""
COLUMNS = ("date", "provider", "gpu", "rental_type", "usd_per_gpu_hour")
_SPOT = {"spot": True, "on-demand": False}
_PROVIDER_GAP = re.compile(r"[^a-z0-9]+")
_PROVIDER_MAX = 64

LeftOutPrice = Literal["malformed", "unknown_family", "out_of_bounds", "too_old", "in_the_future"]


class NotDailyMedians(ValueError):
    """The text is no such file."""


@dataclass(frozen=True, slots=True)
class DailyMedian:
    """One line of the file, read."""

    day: datetime
    provider: str
    """As it is written there."""
    family: str
    spot: bool
    micros: int
    """Per GPU hour."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a file."""

    points: int
    """Days of a family, provider and kind that were written."""
    lines: int
    """Lines that they were made of."""
    left_out: Mapping[str, int]
    """Reason → lines."""


def read_daily_medians(text: str) -> tuple[list[DailyMedian], Counter[LeftOutPrice]]:
    """Return the lines of a file and how many were left out for what reason.

    Raises:
        NotDailyMedians: it does not have the columns.
    """
    lines = csv.DictReader(io.StringIO(text, newline=""))
    if missing := set(COLUMNS) - set(lines.fieldnames or ()):
        raise NotDailyMedians(f"these columns are missing: {', '.join(sorted(missing))}")
    found: list[DailyMedian] = []
    left_out: Counter[LeftOutPrice] = Counter()
    for line in lines:
        price = _read(line)
        if isinstance(price, DailyMedian):
            found.append(price)
        else:
            left_out[price] += 1
    return found, left_out


async def load_daily_medians(session: AsyncSession, text: str, *, at: datetime) -> Loaded:
    """Write the days of a file that are among those kept. Loading a file again, or a newer one, is harmless.

    Raises:
        NotDailyMedians: it is no such file.
    """
    read, left_out = read_daily_medians(text)
    oldest = at - timedelta(days=HISTORY_DAYS)
    kept = [price for price in read if oldest <= price.day <= at]
    left_out["too_old"] += sum(price.day < oldest for price in read)
    left_out["in_the_future"] += sum(price.day > at for price in read)
    points = 0
    if kept:
        await make_months(session, since=min(price.day for price in kept), until=max(price.day for price in kept))
        points = await _write(session, kept, await _known_providers(session))
    return Loaded(points, len(kept), {reason: count for reason, count in left_out.items() if count})


async def _write(session: AsyncSession, prices: Sequence[DailyMedian], known: Mapping[str, str]) -> int:
    names = [_slug(price.provider) for price in prices]
    status: str = await driver(session).execute(
        """
        INSERT INTO price_history (family, provider, region_id, spot, hour, min_micros, median_micros, p90_micros, listings)
        SELECT family, provider, $6, spot, day, min(micros), percentile_disc(0.5) WITHIN GROUP (ORDER BY micros),
            percentile_disc(0.9) WITHIN GROUP (ORDER BY micros), count(*)
        FROM unnest($1::text[], $2::text[], $3::boolean[], $4::timestamptz[], $5::bigint[])
            AS prices(family, provider, spot, day, micros)
        GROUP BY family, provider, spot, day
        ON CONFLICT (family, provider, region_id, spot, hour) DO UPDATE SET min_micros = excluded.min_micros,
            median_micros = excluded.median_micros, p90_micros = excluded.p90_micros, listings = excluded.listings
        """,
        [price.family for price in prices],
        [known.get(name, name) for name in names],
        [price.spot for price in prices],
        [price.day for price in prices],
        [price.micros for price in prices],
        EVERYWHERE,
    )
    return int(status.rpartition(" ")[2])


async def _known_providers(session: AsyncSession) -> dict[str, str]:
    """Return, by the slug of its title, the name under which each cloud of ours is known: ``vast-ai`` is ``vast``."""
    return {_slug(str(state.capability["title"])): state.provider for state in await list_providers(session)}


def _read(line: Mapping[str, str | None]) -> DailyMedian | LeftOutPrice:
    written = [(line.get(name) or "").strip() for name in COLUMNS]
    day, provider, gpu, kind, price = written
    try:
        moment = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
        micros = Decimal(price) * MICROS_PER_DOLLAR
    except (ValueError, InvalidOperation):
        return "malformed"
    if kind not in _SPOT or not _slug(provider) or not micros.is_finite():
        return "malformed"
    if not 1 <= micros <= PRICE_MICROS_PER_GPU_HOUR_MAX:
        return "out_of_bounds"
    family = find_family(gpu)
    return DailyMedian(moment, provider, family.slug, _SPOT[kind], round(micros)) if family else "unknown_family"


def _slug(provider: str) -> str:
    return _PROVIDER_GAP.sub("-", provider.casefold()).strip("-")[:_PROVIDER_MAX]
