"""What must become true of the edge.

- pruning: idempotency keys older than a day are gone. Twice: nothing is left to delete. Never: the table grows.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.kit.db import Database
from app.kit.pruning import prune
from app.kit.reconcile import Reconciler, Round
from app.web.idempotency import KEPT, PRUNE


def pruning(db: Database) -> Reconciler:
    """Return the reconciler that forgets old idempotency keys."""

    async def find(_this: Round, _limit: int) -> Sequence[str]:
        """Return the one table."""
        return ["idempotency_keys"]

    async def step(this: Round, _item: str) -> str:
        """Delete what is old, a batch at a time."""
        await prune(db, PRUNE, this.at - KEPT)
        return "pruned"

    return Reconciler(name="web.pruning", every_seconds=600, batch=1, find=find, step=step)
