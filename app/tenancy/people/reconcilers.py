"""What must become true of people's browsers.

- pruning: sign-ins that ran out and sessions that began a month ago are gone; these have ended long since, and are kept
  that long because a new session begins in the account that the last one had chosen. Which rows: by those times, some at
  a time. Twice: nothing is left to delete. Never: the tables grow, and nothing that has ended opens for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from app.kit.db import Database
from app.kit.pruning import prune
from app.kit.reconcile import Reconciler, Round
from app.tenancy.people import queries

KEPT: Final = timedelta(days=30)
_STATEMENTS: Final = {"sign_ins": queries.PRUNE_SIGN_INS, "sessions": queries.PRUNE_SESSIONS}


def pruning(db: Database) -> Reconciler:
    """Return the reconciler that forgets old sign-ins and sessions."""

    async def find(_this: Round, _limit: int) -> Sequence[str]:
        """Return the tables."""
        return list(_STATEMENTS)

    async def step(this: Round, table: str) -> str:
        """Delete what is old in one table."""
        before = this.at - KEPT if table == "sessions" else this.at
        await prune(db, _STATEMENTS[table], before)
        return "pruned"

    return Reconciler(name="tenancy.pruning", every_seconds=600, batch=len(_STATEMENTS), find=find, step=step)
