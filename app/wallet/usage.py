"""What was used: sums of the ledger's usage rows, by rental or by day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId
from app.wallet import queries


@dataclass(frozen=True, slots=True)
class Used:
    """One group's sum. Amounts in micro-dollars."""

    key: str
    """A rental's id, or a day of UTC as ``YYYY-MM-DD``."""
    seconds: int
    charged: int
    refunded: int


@dataclass(frozen=True, slots=True)
class Span:
    """From when (in) to when (out); None is open."""

    since: datetime | None
    until: datetime | None


async def sum_by_rental(
    session: AsyncSession, span: Span, *, account_id: AccountId, before: str | None, limit: int
) -> list[Used]:
    """Return what each rental cost in a span of time, newest rental first."""
    rows = await driver(session).fetch(queries.USED_BY_RENTAL, account_id, span.since, span.until, before, limit)
    return [Used(*row) for row in rows]


async def sum_by_day(
    session: AsyncSession, span: Span, *, account_id: AccountId, before: str | None, limit: int
) -> list[Used]:
    """Return what each day of UTC cost in a span of time, newest first; a capture belongs to the day it was made."""
    rows = await driver(session).fetch(queries.USED_BY_DAY, account_id, span.since, span.until, before, limit)
    return [Used(*row) for row in rows]
