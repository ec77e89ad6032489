"""What must become true of policies.

- counting, many accounts an item: what was spent is summed by local day up to the last transfer. Twice: the watermark
  remembers. Never: decisions are as exact, and ever slower.
- recounting, one item a subject whose zone has changed: its days are those of its zone. Twice: the same days. Never:
  its decisions read the whole ledger.
- auditing, one item a bucket of accounts: the days' sums are the ledger's; a difference is told. Twice: told again.
  Never: a difference goes on unseen.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.kit.db import Database
from app.kit.leases import bucket_name, bucket_of, fenced
from app.kit.reconcile import Reconciler, Round
from app.ledger.reconcilers import audit
from app.policies.budgets.reconcilers import budgets
from app.policies.counting import Miszoned, count, find_miszoned, find_uncounted, recount
from app.policies.invariants import broken_for

_ACCOUNTS = 200


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts that are counted in one transaction."""

    ids: tuple[str, ...]

    def __str__(self) -> str:
        """Name it for the runner."""
        return f"{self.ids[0]}+{len(self.ids) - 1}"


def reconcilers(db: Database) -> list[Reconciler]:
    """Return what must become true of what was spent, and of budgets."""
    return [counting(db), recounting(db), auditing(db), budgets(db)]


def counting(db: Database) -> Reconciler:
    """Return the reconciler that counts what was spent."""

    async def find(this: Round, limit: int) -> list[Accounts]:
        async with db.begin_unscoped() as session:
            found = await find_uncounted(session, buckets=this.holding.buckets, limit=limit * _ACCOUNTS)
        return [Accounts(tuple(found[n : n + _ACCOUNTS])) for n in range(0, len(found), _ACCOUNTS)]

    async def step(this: Round, item: Accounts) -> str:
        async with db.begin_unscoped() as session:
            await fenced(session, this.holding, sorted({bucket_name(bucket_of(one)) for one in item.ids}))
            return "counted" if await count(session, item.ids) else "nothing_new"

    return Reconciler(name="policies.counting", every_seconds=15.0, batch=10, find=find, step=step, concurrency=1)


def recounting(db: Database) -> Reconciler:
    """Return the reconciler that follows a subject into another time zone."""

    async def find(this: Round, limit: int) -> list[Miszoned]:
        async with db.begin_unscoped() as session:
            return await find_miszoned(session, buckets=this.holding.buckets, limit=limit)

    async def step(this: Round, item: Miszoned) -> str:
        async with db.begin_unscoped() as session:
            await fenced(session, this.holding, [bucket_name(bucket_of(item.account_id))])
            await recount(session, item)
        return "recounted"

    return Reconciler(name="policies.recounting", every_seconds=15.0, batch=100, find=find, step=step, concurrency=1)


def auditing(db: Database) -> Reconciler:
    """Return the reconciler that checks the days against the ledger."""
    return audit(db, name="policies.auditing", check=broken_for, then="tell")
