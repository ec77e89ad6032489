"""What must become true of the books.

- sealing: accounts with transfers after their last seal get a seal over them. Twice: nothing is left to seal. Never:
  a row changed behind our back in that range is found by its balances alone.
- auditing, one item a bucket of accounts: every wallet equals the fold of its transfers, and whatever else the
  statements of ``invariants`` say; a wallet that does not is frozen and counted, nothing is edited. Twice: frozen stays
  frozen. Never: a difference goes on unseen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database
from app.kit.ids import AccountId
from app.kit.invariants import Broken
from app.kit.leases import bucket_name, bucket_of, fenced
from app.kit.reconcile import Reconciler, Round
from app.ledger.freezing import freeze
from app.ledger.invariants import broken_for, every_account
from app.ledger.sealing import find_unsealed, seal

log = structlog.get_logger(__name__)

DIFFERENCES = Counter("hourglass_money_differences", "Invariants of money that did not hold", ["invariant"])
FROZEN = Counter("hourglass_wallets_frozen", "Wallets frozen for a difference in their books")

Check = Callable[[AsyncSession, Sequence[AccountId]], Awaitable[list[Broken]]]


def sealing(db: Database) -> Reconciler:
    """Return the reconciler that seals what was posted."""

    async def find(this: Round, limit: int) -> list[AccountId]:
        async with db.begin_unscoped() as session:
            return await find_unsealed(session, buckets=this.holding.buckets, limit=limit)

    async def step(this: Round, account_id: AccountId) -> str:
        async def work(session: AsyncSession) -> int:
            await fenced(session, this.holding, [bucket_name(bucket_of(account_id))])
            return await seal(session, account_id=account_id, at=this.at)

        return "sealed" if await db.run(work) else "nothing_to_seal"

    return Reconciler(name="ledger.sealing", every_seconds=60.0, batch=5_000, find=find, step=step, concurrency=2)


def auditing(db: Database) -> Reconciler:
    """Return the reconciler that checks wallets against their transfers."""
    return audit(db, name="ledger.auditing", check=broken_for)


@dataclass(frozen=True, slots=True)
class BucketOfAccounts:
    """All wallets of one bucket."""

    bucket: int


def audit(db: Database, *, name: str, check: Check, then: Literal["freeze", "tell"] = "freeze") -> Reconciler:
    """Return an hourly reconciler that tells of every difference that ``check`` finds, and freezes those wallets."""

    async def find(this: Round, limit: int) -> list[BucketOfAccounts]:
        return [BucketOfAccounts(bucket) for bucket in this.holding.buckets][:limit]

    async def step(this: Round, item: BucketOfAccounts) -> str:
        async with db.begin_unscoped() as session:
            groups = [group async for group in every_account(session, bucket=item.bucket)]
        outcome = "agrees"
        for group in groups:
            async with db.begin_unscoped() as session:
                broken = await check(session, group)
            if broken:
                outcome = "differs"
                _tell(broken)
                if then == "freeze":
                    await _freeze(db, this, broken)
        return outcome

    return Reconciler(name=name, every_seconds=3600.0, batch=64, find=find, step=step, concurrency=1)


def _tell(broken: Sequence[Broken]) -> None:
    for found in broken:
        DIFFERENCES.labels(found.name).inc(len(found.sample))
        places = [f"{case.account_id} {case.what}" for case in found.sample]
        log.error("money.difference", invariant=found.name, places=places)


async def _freeze(db: Database, this: Round, broken: Sequence[Broken]) -> None:
    for account_id in sorted({case.account_id for found in broken for case in found.sample}):
        async with db.begin_unscoped() as session:
            await fenced(session, this.holding, [bucket_name(bucket_of(account_id))])
            if await freeze(session, account_id=account_id, at=this.at):
                FROZEN.inc()
