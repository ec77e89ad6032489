"""Seconds that ran for nothing: found out once the meter stands."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.kit.db import driver
from app.kit.ids import AccountId, RentalId
from app.wallet.holds import lock_hold, refund_host_fault

_UNRUN: Final = "UPDATE holds SET base_seconds = base_seconds - $3 WHERE account_id = $1 AND rental_id = $2"


async def unrun(
    session: AsyncSession, *, account_id: AccountId, rental_id: RentalId, seconds: int, at: datetime, reason: str
) -> int:
    """Let the last seconds of a paused meter never have run, and give back what was charged for them.

    Returns micro-dollars; nothing where the meter runs or is closed.
    """
    await ledger.lock_wallets(session, [account_id])
    row = await lock_hold(session, account_id, rental_id)
    unused = min(seconds, row["base_seconds"])
    if row["state"] != "waiting" or unused <= 0:
        return 0
    await driver(session).execute(_UNRUN, account_id, rental_id, unused)
    return await refund_host_fault(
        session, account_id=account_id, rental_id=rental_id, at=at, reason=reason, good_until=at
    )
