"""What must become true of wallets whose cards are asked for more.

- refilling: waits that are over end, and wallets below their threshold ask, should a decrease have missed it. Twice:
  one attempt is open in a wallet at most. Never: only decreases ask, and what waits goes on when the next one comes.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from app import refills
from app.kit.db import Database, driver
from app.kit.ids import AccountId
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Reconciler, Round
from app.wallet import queries
from app.wallet.noticing import reconsider


@dataclass(frozen=True, slots=True)
class Unfilled:
    """An account whose rule is to be judged."""

    account_id: AccountId
    bucket: int

    def __str__(self) -> str:
        """Name it for the runner."""
        return self.account_id


def refilling(db: Database) -> Reconciler:
    """Return the reconciler that judges rules without a decrease."""

    async def find(this: Round, limit: int) -> list[Unfilled]:
        async with db.begin_unscoped() as session:
            rows = await driver(session).fetch(queries.FIND_UNFILLED, this.at, this.holding.buckets, limit)
        return [Unfilled(AccountId(row["account_id"]), row["bucket"]) for row in rows]

    async def step(this: Round, found: Unfilled) -> str:
        async def work(session: AsyncSession) -> str:
            await fenced(session, this.holding, [bucket_name(found.bucket)])
            trigger = refills.Trigger.SWEEP
            verdict = await reconsider(session, account_id=found.account_id, trigger=trigger, at=this.at)
            return "gone" if verdict is None else verdict.because or "asked"

        return await db.run(work)

    return Reconciler(name="wallet.refilling", every_seconds=60.0, batch=1_000, find=find, step=step)
