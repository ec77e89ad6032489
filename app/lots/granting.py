"""Promotional lots: opened before their transfer, withheld while something is owed, looked after when they expire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId, LotId
from app.lots import queries
from app.lots.books import DEFAULT_PRIORITY


@dataclass(frozen=True, slots=True)
class Grant:
    """Promotional credit to give."""

    amount: int
    """Micro-dollars, more than zero."""
    reference: str
    """What it is given for; once per account."""
    reason: str
    expires_at: datetime | None = None
    priority: int = DEFAULT_PRIORITY
    """The lower is spent first."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """What was withheld of a lot, in micro-dollars."""

    lot_id: LotId
    amount: int
    reason: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Expiring:
    """An account with promotional credit whose expiry is due."""

    account_id: AccountId
    bucket: int

    def __str__(self) -> str:
        """Name it for the runner."""
        return self.account_id


async def open_promo(
    session: AsyncSession, grant: Grant, *, account_id: AccountId, withheld: bool, at: datetime
) -> LotId:
    """Write a lot whose transfer is still to come, or, withheld, comes when nothing is owed any more."""
    lot_id = LotId.new()
    await driver(session).execute(
        queries.OPEN_PROMO,
        account_id,
        lot_id,
        grant.reference,
        grant.amount,
        grant.amount if withheld else 0,
        grant.priority,
        grant.expires_at,
        grant.reason,
        at,
    )
    return lot_id


async def find_granted(session: AsyncSession, *, account_id: AccountId, reference: str) -> int | None:
    """Return how much was granted for a reference, or None."""
    granted: int | None = await driver(session).fetchval(queries.FIND_PROMO, account_id, reference)
    return granted


async def withhold(session: AsyncSession, *, account_id: AccountId, lot_id: LotId, amount: int) -> None:
    """Remember what was taken from a lot for as long as something is owed."""
    await driver(session).execute(queries.ADD_WITHHELD, account_id, lot_id, amount)


async def take_withheld(session: AsyncSession, *, account_id: AccountId, at: datetime) -> list[Withheld]:
    """Forget everything that is withheld and return what has not expired: the caller grants it again."""
    rows = await driver(session).fetch(queries.TAKE_WITHHELD, account_id, True, at)
    found = [Withheld(LotId(row["id"]), row["withheld"], row["reason"], row["expires_at"]) for row in rows]
    return [held for held in found if held.expires_at is None or held.expires_at > at]


async def forget_expired(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    """Forget what is withheld of lots that have expired meanwhile."""
    await driver(session).fetch(queries.TAKE_WITHHELD, account_id, False, at)


async def find_expiring(session: AsyncSession, *, at: datetime, buckets: Sequence[int], limit: int) -> list[Expiring]:
    """Return accounts with promotional credit whose expiry is due, the longest due first."""
    rows = await driver(session).fetch(queries.FIND_DUE, at, list(buckets), limit)
    return [Expiring(AccountId(row["account_id"]), row["bucket"]) for row in rows]


async def looked_after(session: AsyncSession, *, account_id: AccountId, at: datetime, again_at: datetime) -> None:
    """Note that the account's expiry was looked after; what is held is looked at again."""
    await driver(session).execute(queries.LOOKED, account_id, at, again_at)
