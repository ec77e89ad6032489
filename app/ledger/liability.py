"""What we owe our customers, rolled forward: what it was, what moved it, what it is.

The liability is available + reserved - owed of every wallet. The end of a period is reckoned backwards from the wallets
as they stand, its beginning forwards from the first transfer: both ways meet only when wallets and transfers agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.kit.db import Database, driver
from app.ledger.invariants import every_account
from app.ledger.kinds import Kind

# Each group of accounts in one statement, so that wallets and transfers are of one moment.
_ROLL: Final = """
WITH moved AS (
    SELECT kind, CASE WHEN effective_at < $2 THEN 'before' WHEN effective_at < $3 THEN 'during' ELSE 'after' END AS part,
           CASE WHEN credit IN ('available', 'reserved', 'owed') THEN amount ELSE 0 END
           - CASE WHEN debit IN ('available', 'reserved', 'owed') THEN amount ELSE 0 END AS change
    FROM transfers WHERE account_id = ANY($1::text[])
)
SELECT part, kind, sum(change)::bigint AS change FROM moved GROUP BY part, kind HAVING sum(change) <> 0
UNION ALL
SELECT 'now', '', coalesce(sum(available + reserved - owed), 0)::bigint FROM wallets WHERE account_id = ANY($1::text[])
"""


@dataclass(frozen=True, slots=True)
class RollForward:
    """One period's liability, in micro-dollars."""

    opening: int
    flows: Mapping[Kind, int]
    """What each kind of movement added, less than zero where it took; those within a wallet are left out."""
    closing: int

    @property
    def difference(self) -> int:
        """Return what the period's flows leave unexplained: zero when the books are right."""
        return self.closing - self.opening - sum(self.flows.values())


async def roll_forward(db: Database, *, since: datetime, until: datetime) -> RollForward:
    """Return the liability over all accounts from one moment to another, by when movements took effect."""
    opening = now = after = 0
    flows: Counter[Kind] = Counter()
    async with db.begin_unscoped() as session:
        groups = [group async for group in every_account(session)]
    for group in groups:
        async with db.begin_unscoped() as session:
            rows = await driver(session).fetch(_ROLL, group, since, until)
        for row in rows:
            match row["part"]:
                case "before":
                    opening += row["change"]
                case "during":
                    flows[Kind(row["kind"])] += row["change"]
                case "after":
                    after += row["change"]
                case _:
                    now += row["change"]
    return RollForward(opening, dict(flows), now - after)
