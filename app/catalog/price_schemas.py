"""Wire shapes of the price history: its query, its points, its CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from app.catalog.filters import HISTORY_DEFAULT, known_family
from app.catalog.history import HISTORY_DAYS, POINTS_MAX, Interval, PricePoint, PricePosition, PricesWanted
from app.kit.clock import rfc3339
from app.kit.money import dollars
from app.web import Page
from app.web.errors import InvalidCursor, ValidationFailed
from app.web.paging import Position
from app.web.schemas import MoneyOut, TimeIn, TimeOut, Wire

CSV_COLUMNS = ("hour", "family", "provider", "region", "spot", "min", "median", "p90", "listings")
CSV_HEAD = ",".join(CSV_COLUMNS) + "\r\n"


class PriceFormat(StrEnum):
    """How a history is told."""

    JSON = "json"
    CSV = "csv"


class PriceHistoryPage(Page):
    """Which hours of which family."""

    limit: Annotated[int, Field(ge=1, le=POINTS_MAX, description="How many points at most; CSV has all of them.")] = (
        POINTS_MAX
    )
    family: Annotated[str, Field(min_length=1, max_length=64)]
    provider: Annotated[str | None, Field(max_length=64)] = None
    region: Annotated[str | None, Field(max_length=64)] = None
    spot: bool | None = None
    since: Annotated[TimeIn | None, Field(description="Seven days before `until` by default; 90 days are kept.")] = None
    until: Annotated[TimeIn | None, Field(description="Now by default.")] = None
    interval: Annotated[Interval, Field(description="A point for each hour, or for each day in UTC.")] = Interval.HOUR
    format: Annotated[PriceFormat | None, Field(description="Instead of the `Accept` header: for links.")] = None

    def wanted(self, at: datetime) -> PricesWanted:
        """Return what is asked for in the catalog's terms.

        Raises:
            UnknownFamily: a name that is no family's.
            ValidationFailed: the beginning does not lie before the end.
        """
        until = self.until or at
        since = self.since or until - HISTORY_DEFAULT
        if since >= until:
            problem = {"pointer": "query/since", "code": "order", "message": "must lie before until"}
            raise ValidationFailed(errors=[problem])
        return PricesWanted(
            family=known_family(self.family).slug,
            since=max(since, at - timedelta(days=HISTORY_DAYS)),
            until=until,
            provider=self.provider,
            region_id=self.region,
            spot=self.spot,
            interval=self.interval,
        )


def sealed_position(point: PricePoint) -> Position:
    """Return a point's position as a cursor keeps it."""
    hour, provider, region_id, spot = point.position
    return rfc3339(hour), provider, region_id, int(spot)


def opened_position(position: Position | None) -> PricePosition | None:
    """Return the position that a cursor keeps.

    Raises:
        InvalidCursor: it is none of a history's.
    """
    if position is None:
        return None
    try:
        hour, provider, region_id, spot = position
        return datetime.fromisoformat(str(hour)), str(provider), str(region_id), bool(spot)
    except ValueError:
        raise InvalidCursor from None


class PricePointOut(Wire):
    """Prices per GPU hour, without disk, within one hour or one day."""

    object: Literal["price_point"] = "price_point"
    family: str
    provider: str
    region: str
    spot: bool
    hour: TimeOut
    """Its beginning, or that of the day."""
    min: MoneyOut
    median: MoneyOut
    p90: MoneyOut
    listings: int

    @classmethod
    def of(cls, point: PricePoint) -> PricePointOut:
        """Return one hour."""
        return cls(
            family=point.family,
            provider=point.provider,
            region=point.region_id,
            spot=point.spot,
            hour=point.hour,
            min=point.min_micros,
            median=point.median_micros,
            p90=point.p90_micros,
            listings=point.listings,
        )


def csv_of(points: Iterable[PricePoint]) -> str:
    """Return points as CSV lines by RFC 4180. Names in it are slugs, which no spreadsheet takes for a formula."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows(
        (
            rfc3339(point.hour),
            point.family,
            point.provider,
            point.region_id,
            "true" if point.spot else "false",
            dollars(point.min_micros),
            dollars(point.median_micros),
            dollars(point.p90_micros),
            point.listings,
        )
        for point in points
    )
    return written.getvalue()
