"""Reading the catalog: single listings, lists, facets, providers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalog.filtering import (
    LISTING_COLUMNS,
    LISTING_JOINS,
    Parameters,
    all_in_sql,
    listing_conditions,
)
from app.catalog.listing import HARD_BOUND_SECONDS, LISTING_FIELDS, Listing, Wanted
from app.kit.clock import whole_seconds
from app.kit.db import driver
from app.kit.errors import NotFound

DIMENSIONS = ("family", "provider", "region", "country", "gpu_count", "spot", "security_tier")
"""By what listings are counted."""
_COLUMNS = {"region": "region_id"}
_LAST = 2**62
_STATE_COLUMNS = (
    "s.provider, s.capability::text, s.paused, s.last_attempt_at, s.last_success_at, s.last_error, "
    "s.consecutive_failures, s.polls, s.polls_failed, s.listings, s.left_out::text"
)


class Sort(StrEnum):
    """Orders of a list; the best comes first, ties by id."""

    PRICE = "price"
    EXPECTED = "expected"
    """Price times the tries that a launch takes."""
    RELIABILITY = "reliability"
    PROVISION_TIME = "provision_time"


_SORT_KEYS = {
    Sort.PRICE: "{price}",
    Sort.EXPECTED: "({price} * COALESCE(h.tries_permille, 1000) + 999) / 1000",
    Sort.RELIABILITY: "-COALESCE(l.reliability_ppm, -1)",
    Sort.PROVISION_TIME: f"COALESCE(h.provision_seconds_p50, {_LAST})",
}


@dataclass(frozen=True, slots=True)
class ListedListing:
    """A listing and its place in the list's order: what a cursor points at."""

    listing: Listing
    sort_key: int


@dataclass(frozen=True, slots=True)
class Facet:
    """One value of one dimension, with how many listings have it."""

    dimension: str
    value: str
    listings: int
    from_micros_per_gpu_hour: int


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """A provider: what it can do, and how its polls went."""

    provider: str
    capability: Mapping[str, object]
    paused: bool
    last_attempt_at: datetime | None
    last_success_at: datetime | None
    last_error: str | None
    consecutive_failures: int
    polls: int
    polls_failed: int
    listings: int
    left_out: Mapping[str, int]
    refresh_requested_at: datetime | None

    def health(self, at: datetime) -> str:
        """Return ``paused``, ``unknown`` (never answered), ``stale`` (past the hard bound), ``failing`` or ``ok``."""
        if self.paused:
            return "paused"
        if self.last_success_at is None:
            return "unknown"
        if whole_seconds(self.last_success_at, at) > HARD_BOUND_SECONDS:
            return "stale"
        return "failing" if self.consecutive_failures else "ok"

    @property
    def success_ppm(self) -> int | None:
        """The share of polls that succeeded."""
        return (self.polls - self.polls_failed) * 1_000_000 // self.polls if self.polls else None


async def find_listing(session: AsyncSession, listing_id: str) -> Listing | None:
    """Return a listing, also one that is gone or stale: ask it whether it ``is_available``."""
    row = await driver(session).fetchrow(
        f"SELECT {LISTING_COLUMNS} FROM listings l {LISTING_JOINS} WHERE l.id = $1",  # noqa: S608 - names of ours
        listing_id,
    )
    return Listing(**row) if row else None


async def get_listing(session: AsyncSession, listing_id: str) -> Listing:
    """Return a listing, also one that is gone or stale.

    Raises:
        NotFound: no such listing.
    """
    listing = await find_listing(session, listing_id)
    if listing is None:
        raise NotFound
    return listing


async def list_listings(
    session: AsyncSession, wanted: Wanted, *, at: datetime, sort: Sort, limit: int, after: tuple[int, str] | None = None
) -> list[ListedListing]:
    """Return available listings that fit, best first, beginning behind ``after`` (a sort key and an id)."""
    parameters = Parameters()
    where = listing_conditions(wanted, parameters, at=at)
    key = _SORT_KEYS[sort]
    if "{price}" in key:
        key = key.format(price=all_in_sql(parameters.bind(wanted.disk_gb, "bigint")))
    if after:
        where += f" AND ({key}, l.id) > ({parameters.bind(after[0], 'bigint')}, {parameters.bind(after[1], 'text')})"
    rows = await driver(session).fetch(
        f"SELECT {LISTING_COLUMNS}, {key} AS sort_key FROM listings l {LISTING_JOINS} WHERE {where} "  # noqa: S608 - as above
        f"ORDER BY sort_key, l.id LIMIT {parameters.bind(limit, 'bigint')}",
        *parameters.values,
    )
    return [ListedListing(Listing(**{name: row[name] for name in LISTING_FIELDS}), row["sort_key"]) for row in rows]


async def facets(
    session: AsyncSession, wanted: Wanted, *, at: datetime, dimensions: Sequence[str] = DIMENSIONS
) -> list[Facet]:
    """Return for every value of these dimensions how many listings fit, the most frequent value first."""
    parameters = Parameters()
    where = listing_conditions(wanted, parameters, at=at)
    names = ", ".join(dimensions)
    sets = ", ".join(f"({name})" for name in dimensions)
    # Counted first by all dimensions together, which leaves a few thousand rows to be counted by each of them.
    rows = await driver(session).fetch(
        f"SELECT {names}, sum(listings)::bigint AS listings, min(micros) AS micros, "  # noqa: S608 - as above
        f"GROUPING({names}) AS left_out FROM (SELECT {', '.join(f'l.{_COLUMNS.get(n, n)} AS {n}' for n in dimensions)}, "
        "count(*) AS listings, min((l.price_micros_per_hour + l.gpu_count - 1) / l.gpu_count) AS micros "
        f"FROM listings l WHERE {where} GROUP BY {', '.join(str(n + 1) for n in range(len(dimensions)))}) counted "
        f"GROUP BY GROUPING SETS ({sets})",
        *parameters.values,
    )
    found = [_facet(row, dimensions) for row in rows]
    return sorted(
        (facet for facet in found if facet is not None),
        key=lambda facet: (facet.dimension, -facet.listings, facet.value),
    )


async def list_providers(session: AsyncSession) -> list[ProviderStatus]:
    """Return every known provider, by name."""
    rows = await driver(session).fetch(
        f"SELECT {_STATE_COLUMNS}, r.requested_at AS refresh_requested_at FROM provider_states s "  # noqa: S608 - as above
        "LEFT JOIN refresh_requests r ON r.provider = s.provider ORDER BY s.provider"
    )
    return [
        ProviderStatus(**{**row, "capability": json.loads(row["capability"]), "left_out": json.loads(row["left_out"])})
        for row in rows
    ]


def _facet(row: asyncpg.Record, dimensions: Sequence[str]) -> Facet | None:
    """Return the facet of a row: of the dimension whose bit is not among those left out. None where it has no value."""
    bits = {name: 1 << place for place, name in enumerate(reversed(dimensions))}
    name = next(name for name, bit in bits.items() if not row["left_out"] & bit)
    value = row[name]
    if value is None:
        return None
    told = str(value).lower() if isinstance(value, bool) else str(value)
    return Facet(name, told, row["listings"], row["micros"])
