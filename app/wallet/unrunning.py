"""Seconds that ran for nothing: found out once the meter stands."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.kit.ids import AccountId, RentalId
from app.wallet.holds import forgive, lock_hold


async def unrun(
    session: AsyncSession, *, account_id: AccountId, rental_id: RentalId, seconds: int, at: datetime, reason: str
) -> int:
    """Let the last seconds of a paused meter never have run, and give back what was charged for them.

    Returns micro-dollars; nothing where the meter runs or is closed.
    """
    await ledger.lock_wallets(session, [account_id])
    row = await lock_hold(session, account_id, rental_id)
    if row["state"] != "waiting" or seconds <= 0:
        return 0
    return await forgive(session, row, row["base_seconds"] - seconds, at=at, reason=reason)
