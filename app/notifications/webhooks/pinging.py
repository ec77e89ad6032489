"""A message by which a customer tries an endpoint: an event of its own, sent there alone, once."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.events import Event, record
from app.kit.ids import AccountId, EventId

TEST: Final = "webhook.test"


async def record_test(
    session: AsyncSession, *, account_id: AccountId, endpoint_id: str, actor: str, at: datetime
) -> EventId:
    """Write the event of a test and return its id. The caller holds the endpoint's lock."""
    data = {"webhook_id": endpoint_id, "message": "This is a test."}
    [event_id] = await record(session, Event(account_id, endpoint_id, TEST, at, actor=actor, data=data))
    return event_id
