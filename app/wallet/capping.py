"""Caps: a moment after which a hold is billed nothing, whatever runs and however late a worker is.

The meter itself obeys it: a settlement that comes a day late charges what one in time would have charged. A cap holds
for the present run; the next one gets its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.kit.db import driver
from app.kit.ids import AccountId, RentalId
from app.wallet import queries
from app.wallet.meter import Meter
from app.wallet.renewing import meter_of, save


@dataclass(frozen=True, slots=True)
class Cap:
    """Until when a hold may be billed and why no longer; None takes a cap away."""

    stop_by: datetime | None = None
    because: str | None = None
    """Given with ``stop_by``: what the end of its rental is told to be."""


async def lock_running(session: AsyncSession, *, account_id: AccountId) -> list[Meter]:
    """Return the meters of everything that runs, in the order of rentals, with the wallet and the holds locked."""
    await ledger.lock_wallets(session, [account_id])
    rows = await driver(session).fetch(queries.LOCK_ALL_RUNNING, account_id)
    return [meter_of(row) for row in rows]


async def cap(session: AsyncSession, caps: Mapping[RentalId, Cap], *, account_id: AccountId, at: datetime) -> int:
    """Cap running holds, and say when each must stop; others stay as they are. Returns how many changed.

    A cap may move as long as it has not passed. One that lies before what was captured counts from there.
    """
    found = await lock_running(session, account_id=account_id)
    before = [meter for meter in found if meter.rental_id in caps]
    wanted = [caps[RentalId(meter.rental_id)] for meter in before]
    after = [meter.capped(it.stop_by, it.because, at=at) for meter, it in zip(before, wanted, strict=True)]
    changed = [now for was, now in zip(before, after, strict=True) if now != was]
    if changed:
        await driver(session).execute(
            queries.CAP,
            account_id,
            [meter.rental_id for meter in changed],
            [meter.stop_by for meter in changed],
            [meter.stop_by_because for meter in changed],
        )
        await save(session, changed, at=at)
    return len(changed)


async def last_billable(session: AsyncSession, *, account_id: AccountId, rental_id: RentalId, at: datetime) -> datetime:
    """Return up to when a rental may be billed at most: ``at``, or its cap where that has passed."""
    stop_by: datetime | None = await driver(session).fetchval(queries.READ_CAP, account_id, rental_id)
    return at if stop_by is None else min(at, stop_by)
