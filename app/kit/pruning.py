"""Pruning: forgetting what is old, some rows at a time, so that no lock lasts."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from app.kit.db import Database, driver

_AT_ONCE: Final = 1_000


async def prune(db: Database, statement: str, before: datetime) -> int:
    """Run a DELETE of what is older than a moment (``$1``), at most ``$2`` rows, until there is no more; count the rows.

    Each batch is a transaction of its own, for whoever ``db`` is connected as.
    """
    pruned, batch = 0, _AT_ONCE
    while batch == _AT_ONCE:
        async with db.begin_unscoped() as session:
            done = await driver(session).execute(statement, before, _AT_ONCE)
        batch = int(done.rpartition(" ")[2])
        pruned += batch
    return pruned
