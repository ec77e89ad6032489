"""What must become true of notifications.

- telling: every event has its place in the feed, a delivery to each endpoint that wants it, and its mails. Twice: it has
  left the queue with the first. Never: the feed and its streams stand still, and nobody is told; nothing is lost.
- delivering: every delivery that is due is tried. Twice: a receiver may get an event again, under the same id. Never:
  deliveries wait; the rows are there.
- tidying: deliveries that ended 30 days ago are gone, and deleted endpoints with the last of theirs. Twice: nothing is
  left to delete. Never: the log grows.
- auditing, one item a bucket of accounts: every event has its place in the feed or waits for it; what was delivered was
  taken by somebody. Twice: it is told again. Never: it goes on unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from prometheus_client import Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.clock import Clock
from app.kit.db import Database, driver
from app.kit.egress import Egress
from app.kit.ids import AccountId
from app.kit.leases import bucket_name, bucket_of, fenced
from app.kit.pruning import prune
from app.kit.reconcile import Reconciler, Round
from app.kit.vault import Vault
from app.ledger.reconcilers import audit
from app.notifications.fanning import fan_out
from app.notifications.feed import queries as feed_queries
from app.notifications.feed.appending import Whose
from app.notifications.invariants import broken_for
from app.notifications.webhooks import delivering as tries
from app.notifications.webhooks import queries

TOLD = Counter("hourglass_events_told", "Events that were told onwards")
LATE = Gauge("hourglass_webhook_late_seconds", "How late the delivery is that should have been tried longest ago")

KEPT: Final = timedelta(days=30)
"""How long a delivery that ended can be looked up and sent again."""
PLACES_PER_ENDPOINT: Final = 4
"""How many messages are on their way to one endpoint at once; a slow receiver delays its own alone."""

_FOUND_PER_ENDPOINT: Final = 16
"""How many are found at once for one endpoint: those that wait for a place hide no other endpoint's."""
_TOLD_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be tried."""

    account_id: AccountId
    delivery_id: str
    endpoint_id: str


def telling(db: Database, clock: Clock, *, whose: Whose) -> Reconciler:
    """Return the reconciler that tells events onwards."""

    async def find(this: Round, _limit: int) -> list[int]:
        """Return the buckets in which events wait."""
        async with db.begin_unscoped() as session:
            rows = await driver(session).fetch(feed_queries.FIND_QUEUED, this.holding.buckets)
        return [row["bucket"] for row in rows]

    async def step(this: Round, bucket: int) -> str:
        """Tell what waits in a bucket onwards."""

        async def tell(session: AsyncSession) -> int:
            """Tell some of it, as the one that holds the bucket."""
            await fenced(session, this.holding, [bucket_name(bucket)])
            return await fan_out(session, bucket, whose, limit=_TOLD_AT_ONCE, at=clock.now())

        told = await db.run(tell)
        TOLD.inc(told)
        return "told" if told else "told_already"

    return Reconciler(name="notifications.telling", every_seconds=0.2, batch=64, find=find, step=step, concurrency=4)


def delivering(db: Database, clock: Clock, egress: Egress, vault: Vault) -> Reconciler:
    """Return the reconciler that sends what is due to customers' endpoints."""

    async def find(this: Round, limit: int) -> list[Due]:
        """Return the deliveries that are due, the one that is latest first."""
        buckets = this.holding.buckets
        async with db.begin_unscoped() as session:
            rows = await driver(session).fetch(queries.FIND_DUE, buckets, this.at, _FOUND_PER_ENDPOINT, limit)
        LATE.set(max(0.0, (this.at - rows[0]["next_at"]).total_seconds()) if rows else 0)
        return [Due(AccountId(row["account_id"]), row["id"], row["endpoint_id"]) for row in rows]

    async def step(this: Round, due: Due) -> str:
        """Try a delivery once: claim it, send it, write down what came of it."""

        async def claim(session: AsyncSession) -> tries.Message | None:
            """Claim it, as the one that holds the bucket."""
            await fenced(session, this.holding, [bucket_name(bucket_of(due.account_id))])
            return await tries.claim(session, due.account_id, due.delivery_id, vault, at=clock.now())

        message = await db.run(claim)
        if message is None:
            return "done_already"
        tried = await tries.send(egress, message, at=clock.now())
        outcome = await db.run(lambda session: tries.finish(session, message, tried))
        tries.TRIES.labels(outcome).inc()
        return outcome

    return Reconciler(
        name="notifications.delivering",
        every_seconds=0.5,
        batch=4_000,
        find=find,
        step=step,
        concurrency=PLACES_PER_ENDPOINT,
        lane=lambda due: due.endpoint_id,
    )


def tidying(db: Database) -> Reconciler:
    """Return the reconciler that forgets what ended long ago."""

    async def find(_this: Round, _limit: int) -> Sequence[str]:
        """Return the one thing there is to tidy."""
        return ["deliveries"]

    async def step(this: Round, _item: str) -> str:
        """Delete what ended long ago, a batch at a time, then the endpoints that are left without."""
        await prune(db, queries.PRUNE_DELIVERIES, this.at - KEPT)
        async with db.begin_unscoped() as session:
            await driver(session).execute(queries.PRUNE_ENDPOINTS)
        return "tidied"

    return Reconciler(name="notifications.tidying", every_seconds=3600.0, batch=1, find=find, step=step)


def auditing(db: Database) -> Reconciler:
    """Return the reconciler that checks that nothing which happened is told to nobody."""
    return audit(db, name="notifications.auditing", check=broken_for, then="tell")
