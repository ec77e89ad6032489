"""What must become true of the catalog.

refresh
    Which rows: providers whose poll is due. What becomes true: their listings are what the cloud offers now. Twice is
    harmless: a poll is claimed by one worker, an unchanged answer writes nothing, a late one is refused. Never: listings
    grow stale and after an hour nothing is quoted any more.
tidy
    Which rows: past failures and listings beyond the days kept, months of prices. What becomes true: they are deleted, or
    dropped whole, the month ahead has its partition, and the measured health is of the last days. Twice: finds nothing
    more to do. Never: tables grow, health is out of date; a poll makes the partition that it needs itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.catalog.avoidance import forget_past_failures
from app.catalog.health import measure_health
from app.catalog.history import forget_old_prices, make_months
from app.catalog.polling import list_due
from app.catalog.refreshing import refresh_if_due
from app.kit.db import Database, driver, sqlstate
from app.kit.reconcile import Reconciler, Round
from app.providers.contract import Provider

GONE_KEPT = timedelta(days=7)
"""Rentals look at the listing they were placed on; its id stays the same when the offer comes back."""
AHEAD = timedelta(days=31)
_LOCK_NOT_AVAILABLE = "55P03"


def refresh_reconciler(db: Database, providers: Mapping[str, Provider]) -> Reconciler:
    """Return the reconciler that polls each provider when its poll is due. Looks often, since somebody may ask for it."""

    async def find(this: Round, batch: int) -> Sequence[str]:
        async with db.begin_unscoped() as session:
            return (await list_due(session, providers, at=this.at))[:batch]

    async def step(this: Round, name: str) -> str:
        result = await refresh_if_due(db, providers[name], at=this.at)
        return result.status if result else "taken"

    return Reconciler(name="catalog.refresh", every_seconds=2, batch=64, find=find, step=step)


def tidy_reconciler(db: Database) -> Reconciler:
    """Return the reconciler that measures health and forgets what is beyond the days kept."""

    async def find(_this: Round, _batch: int) -> Sequence[str]:
        return ["catalog"]

    async def step(this: Round, _item: str) -> str:
        async with db.begin_unscoped() as session:
            await tidy(session, this)
        return await turn_months(db, this)

    return Reconciler(name="catalog.tidy", every_seconds=600, batch=1, find=find, step=step)


async def tidy(session: AsyncSession, this: Round) -> None:
    """Measure health and delete what is beyond the days kept."""
    await measure_health(session, at=this.at)
    await forget_past_failures(session, at=this.at)
    await driver(session).execute("DELETE FROM listings WHERE gone_at < $1", this.at - GONE_KEPT)


async def turn_months(db: Database, this: Round) -> str:
    """Make the next month's partition ahead of time and drop those that are over; later, while somebody reads them."""
    async with db.begin_unscoped() as session:
        await make_months(session, since=this.at, until=this.at + AHEAD)
    try:
        async with db.begin_unscoped() as session:
            await forget_old_prices(session, at=this.at)
    except Exception as error:
        if sqlstate(error) != _LOCK_NOT_AVAILABLE:
            raise
        return "months_are_read"
    return "tidied"
