"""Putting events on their way to the endpoints that want them, and on their way again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId, DeliveryId
from app.notifications.errors import WebhookDisabled
from app.notifications.models import DeliveryRow, EndpointRow
from app.notifications.told import Told
from app.notifications.webhooks import queries
from app.notifications.webhooks.pinging import TEST, record_test


@dataclass(frozen=True, slots=True)
class _Queued:
    account_id: str
    endpoint_id: str
    event_id: str
    type: str


def wants(patterns: Sequence[str], type_: str) -> bool:
    """Say whether an endpoint with such patterns wants events of a type; without patterns it wants all."""
    return not patterns or any(
        type_.startswith(pattern[:-1]) if pattern.endswith("*") else type_ == pattern for pattern in patterns
    )


async def queue(session: AsyncSession, events: Sequence[Told], *, at: datetime) -> int:
    """Write a delivery of each event to each enabled endpoint that wants it; return how many. A repeat writes none."""
    accounts = sorted({event.account_id for event in events})
    endpoints = defaultdict(list)
    for row in await driver(session).fetch(queries.FIND_WANTING, accounts):
        endpoints[row["account_id"]].append((row["id"], row["types"]))
    queued = [
        _Queued(event.account_id, endpoint_id, event.id, event.type)
        for event in events
        if event.type != TEST
        for endpoint_id, patterns in endpoints[event.account_id]
        if wants(patterns, event.type)
    ]
    if queued:
        await _write(session, queued, at=at)
    return len(queued)


async def ping(session: AsyncSession, endpoint: EndpointRow, *, actor: str, at: datetime) -> DeliveryRow:
    """Put a test message on its way to an endpoint, whether it is enabled or not. The caller holds its lock."""
    account_id = AccountId(endpoint.account_id)
    event_id = await record_test(session, account_id=account_id, endpoint_id=endpoint.id, actor=actor, at=at)
    await _write(session, [_Queued(account_id, endpoint.id, event_id, TEST)], at=at)
    row = await session.scalar(
        select(DeliveryRow).where(
            DeliveryRow.account_id == account_id,
            DeliveryRow.endpoint_id == endpoint.id,
            DeliveryRow.event_id == event_id,
        )
    )
    if row is None:
        raise AssertionError("what was written is there")
    return row


async def redeliver(session: AsyncSession, row: DeliveryRow, endpoint: EndpointRow, *, at: datetime) -> DeliveryRow:
    """Begin a new series of tries at once. The caller holds the delivery's lock; a try under way is left to end.

    Raises:
        WebhookDisabled: the endpoint is disabled.
    """
    if endpoint.state != "enabled" and row.type != TEST:
        raise WebhookDisabled
    if row.trying_until is not None and row.trying_until > at:
        return row
    statement = (
        update(DeliveryRow)
        .where(DeliveryRow.account_id == row.account_id, DeliveryRow.id == row.id)
        .values(state="pending", tries_before=DeliveryRow.tries, since=at, next_at=at, ended_at=None, trying_until=None)
        .returning(DeliveryRow)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(statement)).one()


async def _write(session: AsyncSession, queued: Sequence[_Queued], *, at: datetime) -> None:
    await driver(session).execute(
        queries.QUEUE,
        [one.account_id for one in queued],
        [DeliveryId.new() for _ in queued],
        [one.endpoint_id for one in queued],
        [one.event_id for one in queued],
        [one.type for one in queued],
        at,
    )
