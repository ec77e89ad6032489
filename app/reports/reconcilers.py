"""What must become true of reports.

- counting, one item a bucket of accounts: what was posted is in the sums, at once where it is much, else within the
  hour. Twice: nothing is left to count. Never: reports are as right as ever, and slower with each transfer.
- auditing, one item a bucket of accounts, every hour: the sums are the ledger's; of an account whose sums are not,
  somebody is told, and it is counted again from the beginning. Twice: it agrees. Never: a difference goes on unseen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database
from app.kit.ids import AccountId
from app.kit.invariants import Broken
from app.kit.leases import bucket_name, bucket_of, fenced
from app.kit.reconcile import Reconciler, Round
from app.ledger.invariants import every_account
from app.ledger.reconcilers import BucketOfAccounts
from app.reports.counting import ROWS_MAX, count, find_uncounted, recount
from app.reports.invariants import broken_for

log = structlog.get_logger(__name__)

DIFFERENCES = Counter("hourglass_report_differences", "Accounts whose reports' sums were not the ledger's")
_ACCOUNTS_MAX: Final = 2_000
_PARTS_MAX: Final = 20
"""How many transactions one step makes of what is far behind."""


@dataclass(frozen=True, slots=True)
class Group:
    """Accounts of one bucket with transfers to count."""

    bucket: int
    account_ids: Sequence[AccountId] = field(repr=False)

    def __str__(self) -> str:
        """Name it for the runner."""
        return bucket_name(self.bucket)


def reconcilers(db: Database) -> list[Reconciler]:
    """Return the room's reconcilers."""
    return [counting(db), auditing(db)]


def counting(db: Database) -> Reconciler:
    """What was posted is counted."""

    async def find(this: Round, limit: int) -> list[Group]:
        async with db.begin_unscoped() as session:
            found = await find_uncounted(session, at=this.at, buckets=this.holding.buckets, limit=_ACCOUNTS_MAX)
        groups: defaultdict[int, list[AccountId]] = defaultdict(list)
        for one in found:
            groups[one.bucket].append(one.account_id)
        return [Group(bucket, accounts) for bucket, accounts in sorted(groups.items())][:limit]

    async def step(this: Round, group: Group) -> str:
        async def work(session: AsyncSession) -> int:
            await fenced(session, this.holding, [bucket_name(group.bucket)])
            return await count(session, group.account_ids, at=this.at)

        counted = 0
        for _ in range(_PARTS_MAX):
            part = await db.run(work)
            counted += part
            if part < ROWS_MAX:
                return "counted" if counted else "nothing_to_count"
        return "behind"

    return Reconciler(name="reports.counting", every_seconds=60.0, batch=64, find=find, step=step, concurrency=1)


def auditing(db: Database) -> Reconciler:
    """What is counted is the ledger."""

    async def find(this: Round, limit: int) -> list[BucketOfAccounts]:
        return [BucketOfAccounts(bucket) for bucket in this.holding.buckets][:limit]

    async def step(this: Round, item: BucketOfAccounts) -> str:
        async with db.begin_unscoped() as session:
            groups = [group async for group in every_account(session, bucket=item.bucket)]
        outcome = "agrees"
        for group in groups:
            async with db.begin_unscoped() as session:
                broken = await broken_for(session, group)
            if broken:
                outcome = "counted_again"
                await _count_again(db, this, broken)
        return outcome

    return Reconciler(name="reports.auditing", every_seconds=3600.0, batch=64, find=find, step=step, concurrency=1)


async def _count_again(db: Database, this: Round, broken: Sequence[Broken]) -> None:
    for found in broken:
        places = [f"{case.account_id} {case.what}" for case in found.sample]
        log.error("reports.difference", invariant=found.name, places=places)
    for account_id in sorted({case.account_id for found in broken for case in found.sample}):
        async with db.begin_unscoped() as session:
            await fenced(session, this.holding, [bucket_name(bucket_of(account_id))])
            await recount(session, account_id=account_id, at=this.at)
        DIFFERENCES.inc()
