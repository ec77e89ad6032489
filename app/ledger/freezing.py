"""Freezing a wallet whose books show a difference: nothing new is reserved from it, and nothing is ever auto-edited."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit
from app.kit.db import driver
from app.kit.ids import AccountId
from app.ledger import queries


async def freeze(session: AsyncSession, *, account_id: AccountId, at: datetime) -> bool:
    """Freeze a wallet; return whether it was not frozen before."""
    is_new = await driver(session).fetchval(queries.FREEZE, account_id, at) is not None
    if is_new:
        await audit.write(session, audit.Entry(account_id, "wallet.frozen", account_id, at))
    return is_new


async def unfreeze(session: AsyncSession, *, account_id: AccountId) -> None:
    """Let the wallet reserve again."""
    await driver(session).execute(queries.UNFREEZE, account_id)
