"""What follows from a movement, in its own transaction: warnings that are due, and a card that is asked for more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import refills
from app.kit.db import driver
from app.kit.ids import AccountId
from app.wallet import alerts, queries


async def notice(session: AsyncSession, account_ids: Sequence[AccountId], *, at: datetime) -> None:
    """Tell the warnings that these wallets have come down to, and let the rules of those that are low ask their cards.

    The caller holds the wallets' locks. Costs two statements, whatever the number of wallets, unless something is due.
    """
    await alerts.cross_levels(session, account_ids, at=at)
    await refill(session, account_ids, at=at)


async def refill(
    session: AsyncSession,
    account_ids: Sequence[AccountId],
    *,
    at: datetime,
    trigger: refills.Trigger = refills.Trigger.DECREASE,
) -> list[refills.Verdict]:
    """Let rules ask for more where a wallet is below its threshold; return what was decided for those that are."""
    below = await refills.find_below(session, account_ids, at=at)
    if not below:
        return []
    low = [found.account_id for found in below]
    rows = await driver(session).fetch(queries.FIND_LIVE, low)
    return await refills.ask(session, low, live={AccountId(row["account_id"]) for row in rows}, at=at, trigger=trigger)
