"""What machines cost, summed over a span of time in which they ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.money import dollars

_SUM: Final = """
SELECT provider, count(*) AS machines,
       coalesce(sum(micros) FILTER (WHERE exact), 0)::bigint AS exact_micros,
       coalesce(sum(micros) FILTER (WHERE NOT exact), 0)::bigint AS estimated_micros,
       coalesce(sum(micros) FILTER (WHERE rental_id IS NULL), 0)::bigint AS orphans_micros,
       count(*) FILTER (WHERE state = 'open') AS open
FROM machine_costs WHERE ended_at >= $1 AND ended_at < $2 GROUP BY provider ORDER BY provider
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the machines of one cloud cost. Orphans' part is in it, exact or estimated."""

    provider: str
    machines: int
    exact_micros: int
    estimated_micros: int
    orphans_micros: int
    open: int
    """How many of them are still asked for."""

    def document(self) -> dict[str, Any]:
        """Return it as JSON, amounts in dollars."""
        return {
            "provider": self.provider,
            "machines": self.machines,
            "exact": dollars(self.exact_micros),
            "estimated": dollars(self.estimated_micros),
            "total": dollars(self.exact_micros + self.estimated_micros),
            "orphans": dollars(self.orphans_micros),
            "open": self.open,
        }


async def sum_costs(session: AsyncSession, *, since: datetime, until: datetime) -> list[Spent]:
    """Return what each cloud's machines cost that ended within a span of time."""
    return [Spent(**row) for row in await driver(session).fetch(_SUM, since, until)]
