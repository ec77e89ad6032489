"""Every SELECT and lock of teams and their members."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.finding import found
from app.kit.ids import AccountId, TeamId, UserId
from app.tenancy.models import TeamMemberRow, TeamRow, UserRow
from app.web import Principal

Position = tuple[datetime, str]
Membership = tuple[TeamMemberRow, UserRow]


async def page_of_teams(
    session: AsyncSession, caller: Principal, *, before: Position | None, limit: int, only_active: bool
) -> Sequence[TeamRow]:
    """Return the teams that a caller sees, newest first, those made before a position."""
    query = select(TeamRow).where(TeamRow.account_id == caller.account_id)
    if caller.reach is not None:
        query = query.where(TeamRow.id.in_(sorted(caller.reach)))
    if only_active:
        query = query.where(TeamRow.archived_at.is_(None))
    if before is not None:
        query = query.where(tuple_(TeamRow.created_at, TeamRow.id) < before)
    rows = await session.scalars(query.order_by(TeamRow.created_at.desc(), TeamRow.id.desc()).limit(limit))
    return rows.all()


async def get_row(session: AsyncSession, team_id: TeamId, *, account_id: AccountId) -> TeamRow:
    """Return a team's row.

    Raises:
        NotFound: the account has no such team.
    """
    return found(await session.scalar(_one(team_id, account_id)), "team")


async def lock_row(session: AsyncSession, team_id: TeamId, *, account_id: AccountId) -> TeamRow:
    """Return a team's row and hold it: members come and go, and the team changes, one after the other.

    Raises:
        NotFound: the account has no such team.
    """
    return found(
        await session.scalar(
            _one(team_id, account_id).with_for_update(key_share=True).execution_options(populate_existing=True)
        ),
        "team",
    )


async def hold_team(session: AsyncSession, team_id: TeamId, *, account_id: AccountId) -> TeamRow | None:
    """Return a team's row and keep it from being archived meanwhile; None where there is no such team."""
    return await session.scalar(
        _one(team_id, account_id).with_for_update(read=True).execution_options(populate_existing=True)
    )


async def count_active(session: AsyncSession, *, account_id: AccountId) -> int:
    """Return how many teams an account has that are not archived."""
    query = select(func.count()).where(TeamRow.account_id == account_id, TeamRow.archived_at.is_(None))
    return await session.scalar(query) or 0


async def page_of_members(
    session: AsyncSession, team_id: TeamId, *, account_id: AccountId, before: Position | None, limit: int
) -> Sequence[Membership]:
    """Return a team's members, the one added last first, those added before a position."""
    query = _members(account_id).where(TeamMemberRow.team_id == team_id)
    if before is not None:
        query = query.where(tuple_(TeamMemberRow.added_at, TeamMemberRow.user_id) < before)
    ordered = query.order_by(TeamMemberRow.added_at.desc(), TeamMemberRow.user_id.desc()).limit(limit)
    return [(member, user) for member, user in await session.execute(ordered)]


async def find_member(
    session: AsyncSession, team_id: TeamId, user_id: UserId, *, account_id: AccountId
) -> Membership | None:
    """Return somebody's membership in a team, or None."""
    query = _members(account_id).where(TeamMemberRow.team_id == team_id, TeamMemberRow.user_id == user_id)
    row = (await session.execute(query)).one_or_none()
    return None if row is None else (row[0], row[1])


async def teams_of(
    session: AsyncSession, user_ids: Collection[str], *, account_id: AccountId
) -> dict[str, list[TeamMemberRow]]:
    """Return the teams of some people, each with what it is there, the first one joined first."""
    query = select(TeamMemberRow).where(TeamMemberRow.account_id == account_id, TeamMemberRow.user_id.in_(user_ids))
    told: dict[str, list[TeamMemberRow]] = {user_id: [] for user_id in user_ids}
    for row in await session.scalars(query.order_by(TeamMemberRow.added_at, TeamMemberRow.team_id)):
        told[row.user_id].append(row)
    return told


async def hold_person(session: AsyncSession, user_id: UserId, *, account_id: AccountId) -> UserRow | None:
    """Return a person of an account and keep it from being removed meanwhile; None when it isn't there (any more)."""
    query = select(UserRow).where(UserRow.account_id == account_id, UserRow.id == user_id, UserRow.removed_at.is_(None))
    return await session.scalar(query.with_for_update(read=True).execution_options(populate_existing=True))


def _members(account_id: AccountId) -> Select[TeamMemberRow, UserRow]:
    together = (TeamMemberRow.account_id == UserRow.account_id) & (TeamMemberRow.user_id == UserRow.id)
    return select(TeamMemberRow, UserRow).join(UserRow, together).where(TeamMemberRow.account_id == account_id)


def _one(team_id: TeamId, account_id: AccountId) -> Select[TeamRow]:
    return select(TeamRow).where(TeamRow.account_id == account_id, TeamRow.id == team_id)
