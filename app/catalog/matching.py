"""The cheapest listings that match.

Listings are ranked by what they are expected to cost per hour of use::

    expected = all-in price, a minimum commitment spread over the time expected, x tries
    tries    = 1 / p, where p = (launches that succeeded + 20) / (launches + 20), four at most

p is measured over the last days per provider, family and kind (see ``health``): every cloud begins with credit, a cloud
that fails every second launch counts as twice its price in the long run. At the same expected price spot comes first,
then what has been quicker to come up, then the more reliable. Ceilings and what is charged know the all-in price alone.

One statement finds them, exact for every disk size. The index keeps each (family, count, kind, provider) in order of
its GPU price, and within such a branch ``tries`` is the same for all, so that GPU price x tries is a lower bound that
grows along the walk. The first matches of the branches give an upper bound for the n-th best; nothing beyond that bound
can be among the best n, so each walk stops there.
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
    avoidance_clauses,
    committed_sql,
    fresh_sql,
    wanted_clauses,
)
from app.catalog.listing import LISTING_FIELDS, Listing, Wanted
from app.catalog.normalising import GPU_COUNT_MAX
from app.kit.db import driver

_DISK_GB_PER_SEED, _SEEDS_MAX = 25, 100
"""The bound is taken from more first matches for a larger disk, whose price tears the two orders further apart."""
_BEYOND_ANY_PRICE = 2**62
_KEY_KINDS = ("text", "bigint", "boolean")
_KEYS_AS_ROWS = 64
_FEW_KEYS = 4
"""Of so many keys every branch is walked: to find out which of them matter would take as long."""


@dataclass(frozen=True, slots=True)
class Match:
    """A listing that fits, priced for the disk wanted."""

    listing: Listing
    all_in_micros_per_hour: int
    ranked_micros_per_hour: int
    """What it was ranked by: its expected cost, see the module."""

    @property
    def disk_micros_per_hour(self) -> int:
        """The disk's part of the all-in price."""
        return self.all_in_micros_per_hour - self.listing.price_micros_per_hour


async def cheapest(session: AsyncSession, wanted: Wanted, *, at: datetime, limit: int = 10) -> list[Match]:
    """Return up to ``limit`` matches, the lowest expected cost first; where no launch ever failed, the all-in price.

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
    """Return the statement of ``cheapest`` and its parameters.

    It is planned once: to plan it takes three times as long as to run it. PostgreSQL keeps one plan for all values where
    that looks no worse than one made for these, hence keys as rows, counts as literals, and conditions behind a CASE.
    """
    parameters = Parameters()
    keys = _keys(wanted)
    branches = _branches_sql(wanted, parameters, keys, at=at)
    ranked, matches = _walk_sql(wanted, parameters, at=at)
    seed_count = max(limit, min(_SEEDS_MAX, wanted.disk_gb // _DISK_GB_PER_SEED) // max(1, len(keys)))
    # Each branch gives ``limit`` seeds if it has them; where all together are fewer, there are no other matches.
    # OFFSET 0 keeps the last walk a walk, where the planner would rather join all listings with the branches.
    statement = f"""
        WITH {_live_sql(branches, f"SELECT {ranked} {matches}", limit, is_many=len(keys) > _FEW_KEYS)},
        seeds AS MATERIALIZED (
            SELECT s.ranked FROM live b CROSS JOIN LATERAL (
                SELECT {ranked} {matches} ORDER BY l.price_micros_per_hour LIMIT {seed_count:d}) s),
        bound AS MATERIALIZED (
            SELECT COALESCE((SELECT ranked FROM seeds ORDER BY ranked OFFSET {limit - 1:d} LIMIT 1),
                (SELECT max(ranked) FROM seeds), 0) AS micros),
        best AS MATERIALIZED (
            SELECT m.*, b.p50 FROM live b CROSS JOIN LATERAL (
                SELECT l.*, {ranked} {matches}
                AND l.price_micros_per_hour <= (SELECT micros FROM bound) * 1000 / b.tries OFFSET 0) m
            ORDER BY {_order("m", "b")} LIMIT {limit:d})
        SELECT {LISTING_COLUMNS}, l.all_in, l.ranked FROM best l {LISTING_JOINS} ORDER BY {_order("l", "l")}
    """  # noqa: S608 - text of ours, values are bound
    return statement, parameters.values


def _keys(wanted: Wanted) -> list[tuple[str, int, bool]]:
    """Return every (family, count, kind) that is wanted."""
    counts = range(1, GPU_COUNT_MAX + 1) if wanted.gpu_count is None else [wanted.gpu_count]
    families = [family.slug for family in wanted.resolved_families()]
    return [(family, count, kind) for family in families for count in counts for kind in wanted.spot.kinds]


def _branches_sql(wanted: Wanted, parameters: Parameters, keys: list[tuple[str, int, bool]], *, at: datetime) -> str:
    """Return the branches: each key at each provider that may be quoted now, with what was measured there."""
    named = (
        ""
        if wanted.providers is None
        else f" AND p.provider = ANY ({parameters.bind(list(wanted.providers), 'text[]')})"
    )
    return f"""
        SELECT k.family, k.gpu_count, k.spot, p.provider, COALESCE(h.tries_permille, 1000) AS tries,
            h.provision_seconds_p50 AS p50
        FROM {_keys_sql(parameters, keys)} AS k(family, gpu_count, spot) CROSS JOIN provider_states p
        LEFT JOIN machine_health h ON h.provider = p.provider AND h.family = k.family AND h.spot = k.spot
        WHERE {fresh_sql(wanted, parameters, at=at)}{named}"""  # noqa: S608 - as above


def _keys_sql(parameters: Parameters, keys: list[tuple[str, int, bool]]) -> str:
    if 0 < len(keys) <= _KEYS_AS_ROWS:
        rows = [
            ", ".join(parameters.bind(value, kind) for value, kind in zip(key, _KEY_KINDS, strict=True)) for key in keys
        ]
        return f"(VALUES ({'), ('.join(rows)}))"
    columns = [parameters.bind([key[part] for key in keys], f"{kind}[]") for part, kind in enumerate(_KEY_KINDS)]
    return f"unnest({', '.join(columns)})"


def _live_sql(branches: str, walk: str, limit: int, *, is_many: bool) -> str:
    """Return the branches that can matter: of many those alone whose first match is not beyond the n-th first match."""
    if not is_many:
        return f"live AS MATERIALIZED ({branches})"
    return f"""branches AS MATERIALIZED ({branches}),
        firsts AS MATERIALIZED (
            SELECT b.*, f.ranked, f.least
            FROM branches b CROSS JOIN LATERAL ({walk} ORDER BY l.price_micros_per_hour LIMIT 1) f),
        live AS MATERIALIZED (
            SELECT * FROM firsts WHERE least <= COALESCE(
                (SELECT ranked FROM firsts ORDER BY ranked OFFSET {limit - 1:d} LIMIT 1), {_BEYOND_ANY_PRICE}))"""  # noqa: S608 - as above


def _walk_sql(wanted: Wanted, parameters: Parameters, *, at: datetime) -> tuple[str, str]:
    """Return the walk through one branch ``b``: prices, expected cost and its lower bound; and where the matches are."""
    all_in = all_in_sql(parameters.bind(wanted.disk_gb, "bigint"))
    committed = committed_sql(all_in, parameters.bind(wanted.expected_seconds, "bigint"))
    ceiling = ""
    if wanted.max_price_micros_per_hour is not None:
        ceiling = f"AND l.price_micros_per_hour <= {parameters.bind(wanted.max_price_micros_per_hour, 'bigint')}"
    clauses = [*wanted_clauses(wanted, parameters), *avoidance_clauses(parameters, at=at)]
    ranked = f"""{all_in} AS all_in, ({committed} * b.tries + 999) / 1000 AS ranked,
        l.price_micros_per_hour * b.tries / 1000 AS least"""
    # CASE hides the other conditions from the planner, which multiplies what it guesses of each until it expects a single
    # match, and then reads a whole branch and sorts it instead of walking along the index until enough are found.
    return (
        ranked,
        f"""
        FROM listings l
        WHERE l.family = b.family AND l.gpu_count = b.gpu_count AND l.spot = b.spot AND l.provider = b.provider
            AND l.gone_at IS NULL {ceiling} AND CASE WHEN {" AND ".join(clauses)} THEN true ELSE false END""",
    )


def _order(match: str, branch: str) -> str:
    return f"{match}.ranked, {match}.spot DESC, {branch}.p50 NULLS LAST, {match}.reliability_ppm DESC NULLS LAST, {match}.id"
