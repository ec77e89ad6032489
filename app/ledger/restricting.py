"""Restricting a wallet while a payment is disputed: nothing new is reserved and no hold renewed, running ones go on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId
from app.ledger import queries


async def restrict(session: AsyncSession, *, account_id: AccountId, at: datetime) -> bool:
    """Restrict a wallet; return whether it was not restricted before."""
    return await driver(session).execute(queries.RESTRICT, account_id, at) == "UPDATE 1"


async def unrestrict(session: AsyncSession, *, account_id: AccountId) -> bool:
    """Let the wallet reserve again; return whether it was restricted."""
    return await driver(session).execute(queries.UNRESTRICT, account_id) == "UPDATE 1"
