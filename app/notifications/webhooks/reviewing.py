"""Reading the log of an endpoint: its deliveries, and every try of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.finding import found, known
from app.kit.ids import AccountId, DeliveryId
from app.notifications.models import AttemptRow, DeliveryRow
from app.notifications.told import Told

_EVENT: Final = """
SELECT e.account_id, e.id, e.type, e.at, e.subject, e.seq, e.actor, e.data::text AS data, f.team_id
FROM events e LEFT JOIN event_feed f ON f.account_id = e.account_id AND f.event_id = e.id
WHERE e.account_id = $1 AND e.id = $2
"""


async def list_deliveries(
    session: AsyncSession,
    *,
    account_id: AccountId,
    endpoint_id: str,
    state: str | None,
    before: str | None,
    limit: int,
) -> Sequence[DeliveryRow]:
    """Return an endpoint's deliveries, newest first."""
    query = select(DeliveryRow).where(DeliveryRow.account_id == account_id, DeliveryRow.endpoint_id == endpoint_id)
    if state is not None:
        query = query.where(DeliveryRow.state == state)
    if before is not None:
        query = query.where(DeliveryRow.id < before)
    return (await session.scalars(query.order_by(DeliveryRow.id.desc()).limit(limit))).all()


async def get_delivery(
    session: AsyncSession, delivery_id: str, *, account_id: AccountId, endpoint_id: str
) -> DeliveryRow:
    """Return one delivery of an endpoint.

    Raises:
        NotFound: the endpoint has no such one.
    """
    return found(await session.scalar(_one(delivery_id, account_id=account_id, endpoint_id=endpoint_id)), "delivery")


async def lock_delivery(
    session: AsyncSession, delivery_id: str, *, account_id: AccountId, endpoint_id: str
) -> DeliveryRow:
    """Return one delivery of an endpoint and hold its row.

    Raises:
        NotFound: the endpoint has no such one.
    """
    query = _one(delivery_id, account_id=account_id, endpoint_id=endpoint_id).with_for_update()
    return found(await session.scalar(query.execution_options(populate_existing=True)), "delivery")


async def list_attempts(session: AsyncSession, row: DeliveryRow) -> Sequence[AttemptRow]:
    """Return every try of a delivery, the first first."""
    query = select(AttemptRow).where(AttemptRow.account_id == row.account_id, AttemptRow.delivery_id == row.id)
    return (await session.scalars(query.order_by(AttemptRow.number))).all()


async def get_event(session: AsyncSession, row: DeliveryRow) -> Told:
    """Return the event that a delivery carries."""
    [event] = await driver(session).fetch(_EVENT, row.account_id, row.event_id)
    return Told.of(event, team_id=event["team_id"])


def _one(delivery_id: str, *, account_id: AccountId, endpoint_id: str) -> Select[DeliveryRow]:
    return select(DeliveryRow).where(
        DeliveryRow.account_id == account_id,
        DeliveryRow.endpoint_id == endpoint_id,
        DeliveryRow.id == known(DeliveryId, delivery_id, "delivery"),
    )
