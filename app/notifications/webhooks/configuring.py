"""Making and changing endpoints. A secret leaves once, when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.finding import found, known
from app.kit.ids import AccountId, WebhookId
from app.kit.leases import bucket_of
from app.kit.vault import Vault
from app.notifications.errors import TooManyWebhooks
from app.notifications.models import EndpointRow
from app.notifications.webhooks import queries
from app.notifications.webhooks.signing import cell, new_secret

ENDPOINTS_MAX: Final = 20
BY_CUSTOMER: Final = "customer"
_NOBODYS: Final = b""


@dataclass(frozen=True, slots=True)
class Made:
    """An endpoint with a secret just made, shown this once."""

    row: EndpointRow
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a customer says of a new endpoint."""

    url: str
    description: str
    types: Sequence[str]
    created_by: str


async def create(session: AsyncSession, terms: Terms, *, account_id: AccountId, vault: Vault, at: datetime) -> Made:
    """Write a new endpoint, enabled. The URL has been read by the deployment's rules.

    Raises:
        TooManyWebhooks: the account has as many as it may.
    """
    there = select(func.count()).select_from(EndpointRow).where(*_of(account_id))
    if (await session.scalar(there) or 0) >= ENDPOINTS_MAX:
        raise TooManyWebhooks(f"There are {ENDPOINTS_MAX} webhooks already.")
    secret, endpoint_id = new_secret(), WebhookId.new()
    statement = insert(EndpointRow).values(
        account_id=account_id,
        id=endpoint_id,
        bucket=bucket_of(account_id),
        version=1,
        url=terms.url,
        description=terms.description,
        types=list(terms.types),
        state="enabled",
        sealed_secret=vault.seal(secret, cell=cell(account_id, endpoint_id)),
        created_by=terms.created_by,
        created_at=at,
        updated_at=at,
    )
    return Made((await session.scalars(statement.returning(EndpointRow))).one(), secret)


async def change(session: AsyncSession, row: EndpointRow, *, values: dict[str, Any], at: datetime) -> EndpointRow:
    """Write other values of some columns. The caller holds the endpoint's lock."""
    return await _changed(session, row, values, at=at)


async def enable(session: AsyncSession, row: EndpointRow, *, at: datetime) -> EndpointRow:
    """Send to an endpoint again, with nothing held against it; what happened meanwhile is not sent by itself."""
    if row.state == "enabled":
        return row
    return await _changed(session, row, {"state": "enabled", "disabled_because": None, "failing_since": None}, at=at)


async def disable(session: AsyncSession, row: EndpointRow, *, at: datetime) -> EndpointRow:
    """Send nothing more to an endpoint; what waits for it is given up, and stays in its log."""
    if row.state == "disabled":
        return row
    await _give_up(session, row, "the webhook was disabled", at=at)
    return await _changed(session, row, {"state": "disabled", "disabled_because": BY_CUSTOMER}, at=at)


async def delete(session: AsyncSession, row: EndpointRow, *, at: datetime) -> None:
    """Send nothing more and forget the secrets; its log goes with its last delivery."""
    await _give_up(session, row, "the webhook was deleted", at=at)
    gone: dict[str, Any] = {"state": "deleted", "disabled_because": None, "sealed_secret": _NOBODYS}
    await _changed(session, row, gone | {"sealed_previous": None, "previous_until": None}, at=at)


async def rotate(session: AsyncSession, row: EndpointRow, *, overlap: timedelta, vault: Vault, at: datetime) -> Made:
    """Give an endpoint another secret; messages are signed by the one before, too, until the overlap ends."""
    secret = new_secret()
    values: dict[str, Any] = {
        "sealed_secret": vault.seal(secret, cell=cell(row.account_id, row.id)),
        "sealed_previous": row.sealed_secret if overlap else None,
        "previous_until": at + overlap if overlap else None,
    }
    return Made(await _changed(session, row, values, at=at), secret)


async def get_endpoint(session: AsyncSession, endpoint_id: str, *, account_id: AccountId) -> EndpointRow:
    """Return an endpoint.

    Raises:
        NotFound: the account has no such one.
    """
    return found(await session.scalar(_one(endpoint_id, account_id=account_id)), "webhook")


async def lock_endpoint(session: AsyncSession, endpoint_id: str, *, account_id: AccountId) -> EndpointRow:
    """Return an endpoint and hold its row.

    Raises:
        NotFound: the account has no such one.
    """
    query = _one(endpoint_id, account_id=account_id).with_for_update(key_share=True)
    return found(await session.scalar(query.execution_options(populate_existing=True)), "webhook")


async def list_endpoints(
    session: AsyncSession, *, account_id: AccountId, before: str | None, limit: int
) -> Sequence[EndpointRow]:
    """Return an account's endpoints, newest first."""
    query = select(EndpointRow).where(*_of(account_id))
    if before is not None:
        query = query.where(EndpointRow.id < before)
    return (await session.scalars(query.order_by(EndpointRow.id.desc()).limit(limit))).all()


async def _changed(session: AsyncSession, row: EndpointRow, values: dict[str, Any], *, at: datetime) -> EndpointRow:
    statement = (
        update(EndpointRow)
        .where(EndpointRow.account_id == row.account_id, EndpointRow.id == row.id)
        .values(**values, version=EndpointRow.version + 1, updated_at=at)
        .returning(EndpointRow)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(statement)).one()


async def _give_up(session: AsyncSession, row: EndpointRow, reason: str, *, at: datetime) -> None:
    await driver(session).execute(queries.GIVE_UP, row.account_id, row.id, at, reason)


def _of(account_id: AccountId) -> tuple[Any, ...]:
    return (EndpointRow.account_id == account_id, EndpointRow.state != "deleted")


def _one(endpoint_id: str, *, account_id: AccountId) -> Select[EndpointRow]:
    return select(EndpointRow).where(*_of(account_id), EndpointRow.id == known(WebhookId, endpoint_id, "webhook"))
