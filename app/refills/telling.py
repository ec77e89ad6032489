"""Telling: what becomes of a rule and of its charges is an event for the customer and an entry of the audit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit
from app.events import Event, record
from app.kit.ids import AccountId


async def tell(
    session: AsyncSession,
    account_id: AccountId,
    name: str,
    data: Mapping[str, object],
    *,
    at: datetime,
    actor: str = audit.SYSTEM,
) -> None:
    """Write both in the transaction of what they tell. The caller holds the wallet's lock."""
    await record(session, Event(account_id, account_id, name, at, actor=actor, data=data))
    target = str(data.get("attempt_id") or account_id)
    await audit.write(session, audit.Entry(account_id, name, target, at, actor=actor, details=data))
