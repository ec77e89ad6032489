"""What a wallet shows: live to the second, from one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId, RentalId
from app.kit.money import SECONDS_PER_HOUR
from app.ledger import NoWalletError
from app.wallet import queries
from app.wallet.meter import Meter
from app.wallet.renewing import meter_of


@dataclass(frozen=True, slots=True)
class Balance:
    """A wallet at one moment, in micro-dollars. ``accrued`` is live usage, already inside ``reserved``."""

    available: int
    reserved: int
    owed: int
    seq: int
    frozen: bool
    running: int
    burn_per_hour: int
    accrued: int
    alert_below: int | None
    """The customer's own warning level."""
    incoming: int
    """On its way from cards, not spendable yet."""
    restricted: bool
    """A payment is disputed: nothing new is reserved and no hold renewed."""

    @property
    def total(self) -> int:
        """``available`` and ``reserved``."""
        return self.available + self.reserved

    @property
    def runway_seconds(self) -> int | None:
        """How long everything that runs can go on with what is here; None when nothing runs."""
        if not self.burn_per_hour:
            return None
        return (self.total - self.accrued) * SECONDS_PER_HOUR // self.burn_per_hour


@dataclass(frozen=True, slots=True)
class HoldView:
    """A hold with its state."""

    meter: Meter
    state: str
    refunded: int = 0
    closed_at: datetime | None = None


async def get_balance(session: AsyncSession, *, account_id: AccountId, at: datetime) -> Balance:
    """Return the wallet as it stands at ``at``.

    Raises:
        NoWalletError: the account has none.
    """
    row = await driver(session).fetchrow(queries.READ_BALANCE, account_id, at)
    if row is None:
        raise NoWalletError(account_id)
    return Balance(*row)


async def list_holds(
    session: AsyncSession, *, account_id: AccountId, before: str | None = None, limit: int = 50
) -> list[HoldView]:
    """Return the open holds, newest rental first."""
    rows = await driver(session).fetch(queries.LIST_HOLDS, account_id, before, limit)
    return [HoldView(meter_of(row), row["state"]) for row in rows]


async def find_holds(
    session: AsyncSession, *, account_id: AccountId, rental_ids: Sequence[RentalId]
) -> dict[RentalId, HoldView]:
    """Return the holds of some rentals, open or closed."""
    rows = await driver(session).fetch(queries.FIND_HOLD, account_id, list(rental_ids))
    return {RentalId(row["rental_id"]): _view(row) for row in rows}


def _view(row: asyncpg.Record) -> HoldView:
    return HoldView(meter_of(row), row["state"], row["refunded"], row["closed_at"])
