"""Holds whose money, or whose budget, ends: found so that they are stopped in time, and told of 30, 10 and 2 minutes before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.events import Event, record
from app.kit.clock import rfc3339
from app.kit.db import driver
from app.kit.ids import AccountId, RentalId
from app.wallet import queries

WARNED_MINUTES = (30, 10, 2)


@dataclass(frozen=True, slots=True)
class EndingHold:
    """A running hold that can't be renewed in full, or is capped: its stop is due, or near."""

    account_id: AccountId
    rental_id: RentalId
    bucket: int
    because: str
    """``wallet_empty``, ``max_spend``, or why it was capped."""

    def __str__(self) -> str:
        """Name it for the runner."""
        return self.rental_id


async def find_ending(session: AsyncSession, *, at: datetime, buckets: Sequence[int], limit: int) -> list[EndingHold]:
    """Return running holds whose stop must be issued by now, the longest overdue first."""
    rows = await driver(session).fetch(queries.FIND_ENDING, at, list(buckets), limit)
    return [EndingHold(*row) for row in rows]


async def find_low(session: AsyncSession, *, at: datetime, buckets: Sequence[int], limit: int) -> list[EndingHold]:
    """Return running holds that have come down to a warning that was not given yet."""
    soon = at + timedelta(minutes=WARNED_MINUTES[0])
    rows = await driver(session).fetch(queries.FIND_LOW, soon, list(buckets), at, limit)
    return [EndingHold(*row) for row in rows]


async def warn(session: AsyncSession, low: EndingHold, *, at: datetime) -> int | None:
    """Tell once that a rental's money ends soon: the nearest warning counts, those above it are passed over.

    Returns its minutes, or None when the hold was renewed or warned of meanwhile.
    """
    await ledger.lock_wallet(session, low.account_id)
    hold = await driver(session).fetchrow(queries.LOCK_LOW, low.account_id, low.rental_id)
    if hold is None:
        return None
    minutes = nearest_warning(hold["funded_until"] - at)
    if minutes is None or minutes >= (hold["warned_minutes"] or WARNED_MINUTES[0] + 1):
        return None
    await driver(session).execute(queries.WARN, low.account_id, low.rental_id, minutes)
    event = Event(
        account_id=low.account_id,
        subject=low.account_id,
        type="rental.runway_low",
        at=at,
        data={
            "rental_id": low.rental_id,
            "minutes": minutes,
            "funded_until": rfc3339(hold["funded_until"]),
            "because": hold["ends_because"],
        },
    )
    await record(session, event)
    return minutes


def nearest_warning(left: timedelta) -> int | None:
    """Return the smallest warning that so little time has come down to."""
    return min((minutes for minutes in WARNED_MINUTES if left <= timedelta(minutes=minutes)), default=None)
