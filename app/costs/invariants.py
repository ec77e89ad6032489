"""What must always be true of costs, as queries that return the machines for which it is not; $1 is the present."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver

INVARIANTS: Final = {
    "a machine that has been gone for an hour has a cost": """
        SELECT a.provider || ' ' || a.machine_id FROM attempts a
        WHERE a.status = 'gone' AND a.machine_id IS NOT NULL
          AND a.gone_at BETWEEN $1::timestamptz - interval '30 days' AND $1::timestamptz - interval '1 hour'
          AND NOT EXISTS (SELECT 1 FROM machine_costs c WHERE c.provider = a.provider AND c.machine_id = a.machine_id)
    """,
    "an orphan that has been gone for an hour has a cost": """
        SELECT o.provider || ' ' || o.machine_id FROM orphans o
        WHERE o.destroyed_at BETWEEN $1::timestamptz - interval '30 days' AND $1::timestamptz - interval '1 hour'
          AND NOT EXISTS (SELECT 1 FROM machine_costs c WHERE c.provider = o.provider AND c.machine_id = o.machine_id)
    """,
    "a machine's cost is that of the attempt that had it": """
        SELECT c.provider || ' ' || c.machine_id FROM machine_costs c
        LEFT JOIN attempts a ON a.account_id = c.account_id AND a.rental_id = c.rental_id AND a.number = c.attempt
        WHERE c.rental_id IS NOT NULL AND (a.machine_id, a.provider) IS DISTINCT FROM (c.machine_id, c.provider)
    """,
    "a cost is final three days and an hour after the machine's end": """
        SELECT c.provider || ' ' || c.machine_id FROM machine_costs c
        WHERE c.state = 'open' AND c.ended_at < $1::timestamptz - interval '73 hours'
    """,
    "a machine begins before it runs, and runs before it ends": """
        SELECT c.provider || ' ' || c.machine_id FROM machine_costs c
        WHERE NOT (c.began_at <= c.ran_from AND c.ran_from <= c.ended_at)
    """,
}
"""Sentence → query; each returns nothing while the sentence is true."""

_SAMPLE = 5


async def broken(session: AsyncSession, *, at: datetime) -> dict[str, list[str]]:
    """Return the sentences that do not hold, with some machines each; for the worker role."""
    found = {}
    for sentence, query in INVARIANTS.items():
        # Each names the present, so that all take it.
        rows = await driver(session).fetch(f"{query} AND $1::timestamptz IS NOT NULL LIMIT {_SAMPLE}", at)
        if rows:
            found[sentence] = [row[0] for row in rows]
    return found
