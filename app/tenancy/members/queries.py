"""Every SELECT and lock of memberships."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Exists, Select, exists, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.finding import found
from app.kit.ids import AccountId, TeamId, UserId
from app.tenancy.models import TeamMemberRow, UserRow


async def page_of_members(
    session: AsyncSession,
    *,
    account_id: AccountId,
    teams: Collection[TeamId] | None,
    before: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[UserRow]:
    """Return the people of an account, or of some of its teams, the one that joined last first."""
    query = select(UserRow).where(UserRow.account_id == account_id, UserRow.removed_at.is_(None))
    if teams is not None:
        query = query.where(_in_one_of(teams))
    if before is not None:
        query = query.where(tuple_(UserRow.joined_at, UserRow.id) < before)
    rows = await session.scalars(query.order_by(UserRow.joined_at.desc(), UserRow.id.desc()).limit(limit))
    return rows.all()


async def get_member(
    session: AsyncSession, user_id: UserId, *, account_id: AccountId, teams: Collection[TeamId] | None = None
) -> UserRow:
    """Return a person of an account, or of some of its teams.

    Raises:
        NotFound: it isn't there (any more).
    """
    query = _one(user_id, account_id).where(UserRow.removed_at.is_(None))
    return found(await session.scalar(query if teams is None else query.where(_in_one_of(teams))), "member")


async def lock_member(session: AsyncSession, user_id: UserId, *, account_id: AccountId) -> UserRow:
    """Return a person of an account, removed ones too, and hold its row.

    Raises:
        NotFound: it never was there.
    """
    return found(
        await session.scalar(
            _one(user_id, account_id).with_for_update(key_share=True).execution_options(populate_existing=True)
        ),
        "member",
    )


async def find_member(session: AsyncSession, user_id: UserId, *, account_id: AccountId) -> UserRow | None:
    """Return a person of an account, removed ones too, or None."""
    return await session.scalar(_one(user_id, account_id))


async def count_owners(session: AsyncSession, *, account_id: AccountId, but: str) -> int:
    """Return how many owners an account has beside one person."""
    query = select(func.count()).where(
        UserRow.account_id == account_id,
        UserRow.role == "owner",
        UserRow.removed_at.is_(None),
        UserRow.id != but,
    )
    return await session.scalar(query) or 0


async def list_with_address(session: AsyncSession, email: str, *, account_id: AccountId) -> Sequence[UserRow]:
    """Return the people of an account who have an address, however it is spelt in capitals."""
    there = (UserRow.account_id == account_id, UserRow.removed_at.is_(None), func.lower(UserRow.email) == email.lower())
    return (await session.scalars(select(UserRow).where(*there))).all()


async def is_member_address(session: AsyncSession, email: str, *, account_id: AccountId) -> bool:
    """Say whether somebody of an account has an address."""
    return bool(await list_with_address(session, email, account_id=account_id))


def _in_one_of(teams: Collection[TeamId]) -> Exists:
    return exists().where(
        TeamMemberRow.account_id == UserRow.account_id,
        TeamMemberRow.user_id == UserRow.id,
        TeamMemberRow.team_id.in_(sorted(teams)),
    )


def _one(user_id: UserId, account_id: AccountId) -> Select[UserRow]:
    return select(UserRow).where(UserRow.account_id == account_id, UserRow.id == user_id)
