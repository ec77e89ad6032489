"""A message by which a customer tries an endpoint: an event of its own, sent there alone, once."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.events import Event, record
from app.kit.db import driver
from app.kit.ids import AccountId

TEST: Final = "webhook.test"

_LAST_EVENT: Final = "SELECT id FROM events WHERE account_id = $1 AND subject = $2 ORDER BY seq DESC LIMIT 1"


async def record_test(
    session: AsyncSession, *, account_id: AccountId, endpoint_id: str, actor: str, at: datetime
) -> str:
    """Write the event of a test and return its id. The caller holds the endpoint's lock."""
    data = {"webhook_id": endpoint_id, "message": "This is a test."}
    await record(session, Event(account_id, endpoint_id, TEST, at, actor=actor, data=data))
    event_id: str = await driver(session).fetchval(_LAST_EVENT, account_id, endpoint_id)
    return event_id
