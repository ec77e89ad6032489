"""What is left of rentals: what their customers were charged, less what was given back, less what their machines cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.money import dollars

By = Literal["rental", "account", "family", "provider", "everything"]

_BY: Final[dict[By, str]] = {
    "rental": "o.id",
    "account": "o.account_id",
    "family": "o.listing->>'family'",
    "provider": "o.listing->>'provider'",
    "everything": "'everything'",
}
_MARGINS: Final = """
WITH over AS (
    SELECT account_id, id, listing FROM rentals WHERE ended_at >= $1 AND ended_at < $2
), earned AS (
    SELECT t.account_id, t.rental_id,
           sum(t.amount) FILTER (WHERE t.kind = 'usage') AS charged,
           sum(t.amount) FILTER (WHERE t.kind = 'host_fault_refund') AS refunded
    FROM transfers t JOIN over o ON t.account_id = o.account_id AND t.rental_id = o.id
    WHERE t.kind IN ('usage', 'host_fault_refund') GROUP BY t.account_id, t.rental_id
), spent AS (
    SELECT c.account_id, c.rental_id, sum(c.micros) AS cost, count(*) AS machines,
           bool_and(c.exact) AS exact, count(*) FILTER (WHERE c.state = 'open') AS open
    FROM machine_costs c JOIN over o ON c.account_id = o.account_id AND c.rental_id = o.id
    GROUP BY c.account_id, c.rental_id
)
SELECT {by} AS key, count(*) AS rentals, coalesce(sum(s.machines), 0)::bigint AS machines,
       coalesce(sum(e.charged), 0)::bigint AS charged, coalesce(sum(e.refunded), 0)::bigint AS refunded,
       coalesce(sum(s.cost), 0)::bigint AS cost, coalesce(bool_and(s.exact), true) AS exact,
       coalesce(sum(s.open), 0)::bigint AS open
FROM over o LEFT JOIN earned e ON e.account_id = o.account_id AND e.rental_id = o.id
LEFT JOIN spent s ON s.account_id = o.account_id AND s.rental_id = o.id
GROUP BY key
ORDER BY coalesce(sum(e.charged), 0) - coalesce(sum(e.refunded), 0) - coalesce(sum(s.cost), 0), key LIMIT $3
"""
_ORPHANS: Final = """
SELECT count(*) AS machines, coalesce(sum(micros), 0)::bigint AS cost FROM machine_costs
WHERE rental_id IS NULL AND ended_at >= $1 AND ended_at < $2
"""


@dataclass(frozen=True, slots=True)
class Margin:
    """What is left of one rental, or of all of one account, family or cloud. Amounts in micro-dollars."""

    key: str
    rentals: int
    machines: int
    charged: int
    refunded: int
    cost: int
    exact: bool
    """Every machine's cost is from its cloud's books."""
    open: int
    """How many machines' costs are still asked for; they count by what is known."""

    @property
    def micros(self) -> int:
        """What is left: below zero where we paid for it."""
        return self.charged - self.refunded - self.cost

    def document(self) -> dict[str, Any]:
        """Return it as JSON, amounts in dollars."""
        return {
            "key": self.key,
            "rentals": self.rentals,
            "machines": self.machines,
            "charged": dollars(self.charged),
            "refunded": dollars(self.refunded),
            "cost": dollars(self.cost),
            "margin": dollars(self.micros),
            "exact": self.exact,
            "open": self.open,
        }


@dataclass(frozen=True, slots=True)
class Orphaned:
    """What machines cost that served no rental: all of it is ours."""

    machines: int
    cost: int


async def list_margins(
    session: AsyncSession, *, since: datetime, until: datetime, by: By, limit: int = 1000
) -> list[Margin]:
    """Return what is left of rentals that ended within a span of time, the worst first.

    A rental that fell through several clouds counts with all its machines for the cloud that it ended at.
    """
    rows = await driver(session).fetch(_MARGINS.format(by=_BY[by]), since, until, limit)
    return [Margin(**row) for row in rows]


async def sum_orphans(session: AsyncSession, *, since: datetime, until: datetime) -> Orphaned:
    """Return what orphans cost that were gone within a span of time."""
    (row,) = await driver(session).fetch(_ORPHANS, since, until)
    return Orphaned(row["machines"], row["cost"])
