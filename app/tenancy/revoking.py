"""Keys that end with what they hang on: a person who leaves, a team that is archived, a person's part in a team."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId
from app.tenancy.models import ApiKeyRow


async def revoke_keys_of_person(
    session: AsyncSession, user_id: str, *, account_id: AccountId, at: datetime
) -> list[str]:
    """Revoke the keys that a person made in an account, and return which those are."""
    return await _revoke(session, ApiKeyRow.created_by == user_id, account_id=account_id, at=at)


async def revoke_keys_of_team(session: AsyncSession, team_id: str, *, account_id: AccountId, at: datetime) -> list[str]:
    """Revoke the keys that belong to a team, and return which those are."""
    return await _revoke(session, ApiKeyRow.team_id == team_id, account_id=account_id, at=at)


async def revoke_keys_in_team(
    session: AsyncSession, team_id: str, user_id: str, *, account_id: AccountId, at: datetime
) -> list[str]:
    """Revoke the keys that a person made for a team, and return which those are."""
    theirs = (ApiKeyRow.team_id == team_id) & (ApiKeyRow.created_by == user_id)
    return await _revoke(session, theirs, account_id=account_id, at=at)


async def _revoke(
    session: AsyncSession, which: ColumnElement[bool], *, account_id: AccountId, at: datetime
) -> list[str]:
    statement = update(ApiKeyRow).where(ApiKeyRow.account_id == account_id, ApiKeyRow.revoked_at.is_(None), which)
    revoked = statement.values(revoked_at=at).returning(ApiKeyRow.id).execution_options(synchronize_session=False)
    return list(await session.scalars(revoked))
