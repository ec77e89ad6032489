"""Writing and reading the outbox."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.events.models import EventRow
from app.kit.db import driver
from app.kit.ids import AccountId, EventId

_RECORD = """
INSERT INTO events (account_id, subject, seq, id, type, at, actor, data)
SELECT e.account_id, e.subject,
       coalesce((SELECT max(seq) FROM events p WHERE p.account_id = e.account_id AND p.subject = e.subject), 0)
       + row_number() OVER (PARTITION BY e.account_id, e.subject ORDER BY e.n),
       e.id, e.type, e.at, e.actor, e.data
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::jsonb[])
     WITH ORDINALITY AS e(account_id, subject, id, type, at, actor, data, n)
"""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, to whom, when and by whom. ``data`` is JSON and carries no secret."""

    account_id: AccountId
    subject: str
    """The id of what it happened to: a rental, a team, a webhook, or the account itself."""
    type: str
    at: datetime
    actor: str = "system"
    data: Mapping[str, Any] = field(default_factory=dict)


async def record(session: AsyncSession, *events: Event) -> list[EventId]:
    """Write events in the transaction of the change they tell of, and return their ids.

    The caller holds a row's lock for each subject (the wallet's for an account), so that ``seq`` has no gap.
    """
    ids = [EventId.new() for _ in events]
    if not events:
        return ids
    await driver(session).execute(
        _RECORD,
        [event.account_id for event in events],
        [event.subject for event in events],
        ids,
        [event.type for event in events],
        [event.at for event in events],
        [event.actor for event in events],
        [json.dumps(dict(event.data)) for event in events],
    )
    return ids


async def list_events(
    session: AsyncSession, *, account_id: AccountId, subject: str, after_seq: int = 0, limit: int = 50
) -> Sequence[EventRow]:
    """Return a subject's events after a sequence number, oldest first."""
    rows = await session.scalars(
        select(EventRow)
        .where(EventRow.account_id == account_id, EventRow.subject == subject, EventRow.seq > after_seq)
        .order_by(EventRow.seq)
        .limit(limit)
    )
    return rows.all()
