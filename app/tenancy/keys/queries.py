"""Every SELECT and lock of keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, or_, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.finding import found, known
from app.kit.ids import AccountId, ApiKeyId
from app.tenancy.models import ApiKeyRow
from app.web import Principal


async def list_keys(
    session: AsyncSession,
    caller: Principal,
    *,
    before: tuple[datetime, str] | None,
    limit: int,
    team_id: str | None = None,
) -> Sequence[ApiKeyRow]:
    """Return the keys of the caller's account that it sees, newest first, those made before a position."""
    query = select(ApiKeyRow).where(ApiKeyRow.account_id == caller.account_id, _seen_by(caller))
    if team_id is not None:
        query = query.where(ApiKeyRow.team_id == team_id)
    if before is not None:
        query = query.where(tuple_(ApiKeyRow.created_at, ApiKeyRow.id) < before)
    rows = await session.scalars(query.order_by(ApiKeyRow.created_at.desc(), ApiKeyRow.id.desc()).limit(limit))
    return rows.all()


async def count_in_force(session: AsyncSession, *, account_id: AccountId, at: datetime) -> int:
    """Return how many keys of an account open something."""
    query = select(func.count()).where(
        ApiKeyRow.account_id == account_id,
        ApiKeyRow.revoked_at.is_(None),
        or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > at),
    )
    return await session.scalar(query) or 0


async def get_key(session: AsyncSession, key_id: ApiKeyId, *, account_id: AccountId) -> ApiKeyRow:
    """Return one key of an account.

    Raises:
        NotFound: the account has no such key.
    """
    return found(await session.scalar(_one(key_id, account_id=account_id)), "API key")


async def lock_key(session: AsyncSession, key_id: ApiKeyId, *, account_id: AccountId) -> ApiKeyRow:
    """Return one key of an account and hold its row.

    Raises:
        NotFound: the account has no such key.
    """
    return found(
        await session.scalar(
            _one(key_id, account_id=account_id).with_for_update().execution_options(populate_existing=True)
        ),
        "API key",
    )


def known_key_id(text: str) -> ApiKeyId:
    """Return the id that a text from outside stands for.

    Raises:
        NotFound: it is none, which is told like one that nobody has.
    """
    return known(ApiKeyId, text, "API key")


def _seen_by(caller: Principal) -> ColumnElement[bool]:
    """Return the condition that ``granting.sees`` is, for many rows at once."""
    if caller.reach is None:
        return true()
    makers = [] if caller.team_id is not None or caller.user_id is None else [caller.user_id]
    return or_(
        ApiKeyRow.id == caller.key_id, ApiKeyRow.created_by.in_(makers), ApiKeyRow.team_id.in_(sorted(caller.reach))
    )


def _one(key_id: ApiKeyId, *, account_id: AccountId) -> Select[ApiKeyRow]:
    return select(ApiKeyRow).where(ApiKeyRow.account_id == account_id, ApiKeyRow.id == key_id)
