"""The cheapest listings that match.

Listings are kept in order of their GPU price per (family, count, kind), but ranked by all-in price, whose disk part
depends on the size wanted. Both are met in one statement: the first matches in index order give an upper bound for the
n-th best all-in price, and since no all-in price is below its GPU price, nothing beyond that bound in the index can be
among the best n. So the walk stops early and the answer is exact for every disk size.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.catalog.filtering import (
    LISTING_COLUMNS,
    LISTING_JOINS,
    Parameters,
    all_in_sql,
    availability_clauses,
    ranked_sql,
    wanted_clauses,
)
from app.catalog.listing import LISTING_FIELDS, Listing, Wanted
from app.catalog.normalising import GPU_COUNT_MAX
from app.kit.db import driver

_DISK_GB_PER_SEED, _SEEDS_MAX = 10, 200
"""The bound is taken from more first matches for a larger disk, whose price tears the two orders further apart."""


@dataclass(frozen=True, slots=True)
class Match:
    """A listing that fits, priced for the disk wanted."""

    listing: Listing
    all_in_micros_per_hour: int
    ranked_micros_per_hour: int
    """What it was ranked by: all-in, with a minimum commitment beyond the expected time spread over that time."""

    @property
    def disk_micros_per_hour(self) -> int:
        """The disk's part of the all-in price."""
        return self.all_in_micros_per_hour - self.listing.price_micros_per_hour


async def cheapest(session: AsyncSession, wanted: Wanted, *, at: datetime, limit: int = 10) -> list[Match]:
    """Return up to ``limit`` matches, cheapest all-in first; at the same price spot, then the more reliable first.

    An empty list means that nothing fits; see ``facets`` for what there is instead.
    """
    statement, values = cheapest_statement(wanted, at=at, limit=limit)
    rows = await driver(session).fetch(statement, *values)
    return [
        Match(
            Listing(**{name: row[name] for name in LISTING_FIELDS}),
            all_in_micros_per_hour=row["all_in"],
            ranked_micros_per_hour=row["ranked"],
        )
        for row in rows
    ]


def cheapest_statement(wanted: Wanted, *, at: datetime, limit: int) -> tuple[str, list[object]]:
    """Return the statement of ``cheapest`` and its parameters."""
    parameters = Parameters()
    branches = _branches(wanted)
    keys = ", ".join(
        parameters.bind([branch[part] for branch in branches], kind)
        for part, kind in enumerate(("text[]", "bigint[]", "boolean[]"))
    )
    all_in = all_in_sql(parameters.bind(wanted.disk_gb, "bigint"))
    ranked = ranked_sql(all_in, parameters.bind(wanted.expected_seconds, "bigint"))
    clauses = [*wanted_clauses(wanted, parameters), *availability_clauses(wanted, parameters, at=at)]
    keys_match = "l.family = b.family AND l.gpu_count = b.gpu_count AND l.spot = b.spot AND l.gone_at IS NULL"
    if wanted.max_price_micros_per_hour is not None:
        keys_match += f" AND l.price_micros_per_hour <= {parameters.bind(wanted.max_price_micros_per_hour, 'bigint')}"
    # IS TRUE hides the other conditions from the choice of an index: none but the walk's own stops early.
    matches = f"FROM listings l WHERE {keys_match} AND ({' AND '.join(clauses)}) IS TRUE"
    seed_count = min(_SEEDS_MAX, wanted.disk_gb // _DISK_GB_PER_SEED) // max(1, len(branches))
    seeds = parameters.bind(max(limit, seed_count), "bigint")
    count = parameters.bind(limit, "bigint")
    # Every branch gives at least ``limit`` seeds if it has them; where all together are fewer, there are no other matches.
    # OFFSET 0 keeps the second walk a walk, where the planner would rather join all listings with the branches.
    statement = f"""
        WITH branches AS MATERIALIZED (SELECT * FROM unnest({keys}) AS b(family, gpu_count, spot)),
        seeds AS MATERIALIZED (
            SELECT s.ranked FROM branches b CROSS JOIN LATERAL (
                SELECT {ranked} AS ranked {matches} ORDER BY l.price_micros_per_hour LIMIT {seeds}) s),
        bound AS MATERIALIZED (
            SELECT COALESCE((SELECT ranked FROM seeds ORDER BY ranked OFFSET {count} - 1 LIMIT 1),
                (SELECT max(ranked) FROM seeds), 0) AS micros),
        best AS MATERIALIZED (
            SELECT m.* FROM branches b CROSS JOIN LATERAL (
                SELECT l.id, l.spot, l.reliability_ppm, {all_in} AS all_in, {ranked} AS ranked {matches}
                AND l.price_micros_per_hour <= (SELECT micros FROM bound) OFFSET 0) m
            ORDER BY m.ranked, m.spot DESC, m.reliability_ppm DESC NULLS LAST, m.id LIMIT {count})
        SELECT {LISTING_COLUMNS}, best.all_in, best.ranked
        FROM best JOIN listings l ON l.id = best.id {LISTING_JOINS}
        ORDER BY best.ranked, best.spot DESC, best.reliability_ppm DESC NULLS LAST, best.id
    """  # noqa: S608 - text of ours, values are bound
    return statement, parameters.values


def _branches(wanted: Wanted) -> list[tuple[str, int, bool]]:
    """Return every (family, count, kind) that is wanted: each is one walk through the index."""
    counts = range(1, GPU_COUNT_MAX + 1) if wanted.gpu_count is None else [wanted.gpu_count]
    families = [family.slug for family in wanted.resolved_families()]
    return [(family, count, kind) for family in families for count in counts for kind in wanted.spot.kinds]
