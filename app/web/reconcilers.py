"""What must become true of the edge.

- pruning: idempotency keys older than a day are gone. Twice: nothing is left to delete. Never: the table grows.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.kit.db import Database
from app.kit.reconcile import Reconciler, Round
from app.web.idempotency import prune_idempotency_keys

_BATCH = 1_000


def pruning(db: Database) -> Reconciler:
    """Return the reconciler that forgets old idempotency keys, some at a time so that no lock lasts."""

    async def find(_this: Round, _limit: int) -> Sequence[str]:
        return ["idempotency_keys"]

    async def step(this: Round, _item: str) -> str:
        while True:
            async with db.begin_unscoped() as session:
                if await prune_idempotency_keys(session, at=this.at, limit=_BATCH) < _BATCH:
                    return "pruned"

    return Reconciler(name="web.pruning", every_seconds=600, batch=1, find=find, step=step)
