"""What must become true of holds.

- metering: running holds whose slot has passed are captured up to now and renewed. Twice: nothing more is due. Never:
  usage stays inside the hold, the money ends an hour after the last time, and the rest is our cost.
- warnings: holds that have come down to 30, 10 or 2 minutes are told of, each once. Twice: the hold remembers. Never:
  a rental ends without a word.
- promo_expiry: promotional credit that has expired is taken away, as far as no rental holds it. Twice: nothing is left
  to take. Never: it stays spendable, in the customer's favour.
- auditing, one item a bucket of accounts: reserved equals the holds, each hold equals its transfers; a wallet with a
  difference is frozen. Twice: frozen stays frozen. Never: a difference goes on unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from app import lots
from app.kit.db import Database, is_transient
from app.kit.leases import StaleFenceError, bucket_name, fenced
from app.kit.reconcile import Reconciler, Round
from app.ledger.reconcilers import audit
from app.wallet.ending import EndingHold, find_low, warn
from app.wallet.invariants import broken_for
from app.wallet.promotions import expire_promo
from app.wallet.renewing import Due, settle
from app.wallet.wheel import Wheel

BATCH_MAX = 1_000
SETTLED = Counter("hourglass_holds_settled", "Holds captured and renewed")
SET_ASIDE = Counter("hourglass_holds_set_aside", "Holds whose settlement failed alone, to be tried again")


@dataclass(frozen=True, slots=True)
class Batch:
    """Holds that are settled in one transaction; an account's holds lie in one batch."""

    due: tuple[Due, ...]

    def __str__(self) -> str:
        """Name it for the runner."""
        return f"{self.due[0].rental_id}+{len(self.due) - 1}"


def metering(db: Database) -> Reconciler:
    """Return the reconciler that settles running holds, a slot at a time, many in one transaction."""
    wheel = Wheel()

    async def find(this: Round, limit: int) -> list[Batch]:
        async with db.begin_unscoped() as session:
            due = await wheel.find(session, at=this.at, holding=this.holding, limit=limit)
        apart = wheel.take_set_aside(this.holding)
        return [Batch((hold,)) for hold in apart] + _batches([hold for hold in due if hold not in apart])

    async def step(this: Round, batch: Batch) -> str:
        try:
            SETTLED.inc(await _settle(db, this, batch.due))
        except StaleFenceError:
            raise
        except Exception as error:
            if is_transient(error):
                wheel.look_again()
                raise
            if len(batch.due) == 1:
                wheel.set_aside(batch.due)
                SET_ASIDE.inc()
                raise
            half = len(batch.due) // 2
            outcomes = [await _half(this, Batch(due)) for due in (batch.due[:half], batch.due[half:])]
            return "settled_in_part" if set(outcomes) != {"settled"} else "settled"
        wheel.settled(batch.due)
        return "settled"

    async def _half(this: Round, batch: Batch) -> str:
        try:
            return await step(this, batch)
        except StaleFenceError:
            raise
        except Exception:  # noqa: BLE001 - set aside by the step; the others go on
            return "failed"

    return Reconciler(name="wallet.metering", every_seconds=5.0, batch=50_000, find=find, step=step, concurrency=2)


def warnings(db: Database) -> Reconciler:
    """Return the reconciler that tells of rentals whose money ends soon."""

    async def find(this: Round, limit: int) -> list[EndingHold]:
        async with db.begin_unscoped() as session:
            return await find_low(session, at=this.at, buckets=this.holding.buckets, limit=limit)

    async def step(this: Round, low: EndingHold) -> str:
        async def work(session: AsyncSession) -> int | None:
            await fenced(session, this.holding, [bucket_name(low.bucket)])
            return await warn(session, low, at=this.at)

        minutes = await db.run(work)
        return "passed_over" if minutes is None else f"warned_{minutes}"

    return Reconciler(name="wallet.warnings", every_seconds=10.0, batch=1_000, find=find, step=step)


def promo_expiry(db: Database) -> Reconciler:
    """Return the reconciler that takes away promotional credit that has expired."""

    async def find(this: Round, limit: int) -> list[lots.Expiring]:
        async with db.begin_unscoped() as session:
            return await lots.find_expiring(session, at=this.at, buckets=this.holding.buckets, limit=limit)

    async def step(this: Round, due: lots.Expiring) -> str:
        async def work(session: AsyncSession) -> int:
            await fenced(session, this.holding, [bucket_name(due.bucket)])
            return await expire_promo(session, account_id=due.account_id, at=this.at)

        return "expired" if await db.run(work) else "held_or_spent"

    return Reconciler(name="wallet.promo_expiry", every_seconds=60.0, batch=1_000, find=find, step=step)


def auditing(db: Database) -> Reconciler:
    """Return the reconciler that checks holds against wallets and transfers."""
    return audit(db, name="wallet.auditing", check=broken_for)


async def _settle(db: Database, this: Round, due: Sequence[Due]) -> int:
    async def work(session: AsyncSession) -> int:
        await fenced(session, this.holding, {bucket_name(hold.bucket) for hold in due})
        return await settle(session, due, at=this.at)

    return await db.run(work)


def _batches(due: Sequence[Due]) -> list[Batch]:
    """Cut holds, which come in the order of accounts, into batches that part no account unless it alone has more."""
    batches: list[Batch] = []
    start = 0
    while start < len(due):
        end = min(start + BATCH_MAX, len(due))
        cut = end
        while end < len(due) and cut > start and due[cut - 1].account_id == due[end].account_id:
            cut -= 1
        end = cut if cut > start else end
        batches.append(Batch(tuple(due[start:end])))
        start = end
    return batches
