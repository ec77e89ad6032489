"""What must become true of budgets.

- budgets, one item an account: what is to be told of its budgets is told, what is used up pauses what is new, pauses
  that are over end. Twice: marks remember what was told. Never: nothing is told; hard budgets end what runs all the
  same, since the meters know, and no budget is exceeded by anything new, since every request is judged by itself.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Reconciler, Round
from app.policies.budgets.marks import Look, find_looks
from app.policies.budgets.telling import look


def budgets(db: Database) -> Reconciler:
    """Return the reconciler that looks at budgets."""

    async def find(this: Round, limit: int) -> list[Look]:
        async with db.begin_unscoped() as session:
            return await find_looks(session, at=this.at, buckets=this.holding.buckets, limit=limit)

    async def step(this: Round, item: Look) -> str:
        async def work(session: AsyncSession) -> int:
            await fenced(session, this.holding, [bucket_name(item.bucket)])
            return await look(session, account_id=item.account_id, at=this.at)

        return "told" if await db.run(work) else "nothing_new"

    return Reconciler(name="policies.budgets", every_seconds=10.0, batch=1_000, find=find, step=step, concurrency=2)
