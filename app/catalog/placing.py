"""Three places for a wish: its fitting listings, what was measured of them, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.catalog.filtering import (
    LISTING_COLUMNS,
    LISTING_JOINS,
    Parameters,
    all_in_sql,
    committed_sql,
    listing_conditions,
)
from app.catalog.listing import Listing, Wanted
from app.catalog.scoring import Candidate, Formula, Ranking, Score, rank
from app.kit.db import driver

PLACES = 3


@dataclass(frozen=True, slots=True)
class Placement:
    """One place, ranked."""

    listing: Listing
    score: Score


async def rank_placements(
    session: AsyncSession, wanted: Wanted, formula: Formula, *, at: datetime
) -> tuple[Ranking, Sequence[Placement]]:
    """Return the three best places for a wish, and what they were measured against.

    Considered are the three cheapest listings of each provider, region, family and kind: all others of the same place
    start as likely and answer as quickly, at a higher price.
    """
    candidates = await _candidates(session, wanted, at=at)
    known = await driver(session).fetch("SELECT latency_ms_p50 FROM place_latencies")
    ranking = rank(candidates, formula, known_latencies=[row[0] for row in known], limit=PLACES)
    ids = [score.candidate.listing_id for score in ranking.best]
    rows = await driver(session).fetch(
        f"SELECT {LISTING_COLUMNS} FROM listings l {LISTING_JOINS} WHERE l.id = ANY ($1)",  # noqa: S608 - names of ours
        ids,
    )
    listings = {row["id"]: Listing(**row) for row in rows}
    return ranking, [Placement(listings[score.candidate.listing_id], score) for score in ranking.best]


async def _candidates(session: AsyncSession, wanted: Wanted, *, at: datetime) -> list[Candidate]:
    parameters = Parameters()
    all_in = all_in_sql(parameters.bind(wanted.disk_gb, "bigint"))
    committed = committed_sql(all_in, parameters.bind(wanted.expected_seconds, "bigint"))
    rows = await driver(session).fetch(
        f"""
        SELECT l.id, l.micros, t.latency_ms_p50, COALESCE(h.tries_permille, 1000), COALESCE(h.launches, 0)
        FROM (
            SELECT l.id, l.provider, l.region_id, l.family, l.spot, {committed} AS micros, row_number() OVER (
                PARTITION BY l.provider, l.region_id, l.family, l.spot ORDER BY {committed}, l.id) AS place
            FROM listings l WHERE {listing_conditions(wanted, parameters, at=at)}) l
        LEFT JOIN machine_health h ON h.provider = l.provider AND h.family = l.family AND h.spot = l.spot
        LEFT JOIN place_latencies t ON t.provider = l.provider AND t.region_id = l.region_id
        WHERE l.place <= {PLACES}
        """,  # noqa: S608 - text of ours, values are bound
        *parameters.values,
    )
    return [Candidate(*row) for row in rows]
