"""Telling events onwards: each into the feed, to the endpoints that want it and to the people who want a mail.

All of it happens in one transaction with the event's leaving the queue, which was entered in the transaction of the
event: so it happens once, whoever dies when. What is then sent is sent from rows.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.notifications.feed.appending import Whose, take
from app.notifications.letters.writing import write_mails
from app.notifications.webhooks.queueing import queue


async def fan_out(session: AsyncSession, bucket: int, whose: Whose, *, limit: int, at: datetime) -> int:
    """Tell at most so many events of a bucket onwards; return how many. The caller holds the bucket."""
    placed = await take(session, bucket, whose, limit=limit)
    if placed:
        await queue(session, [one.event for one in placed], at=at)
        await write_mails(session, placed, at=at)
    return len(placed)
