"""Who is who in an account: addresses, names and limits, for the rooms above. Removed people get no mail."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId, ApiKeyId, TeamId
from app.tenancy.limits import limit_of
from app.tenancy.models import ApiKeyRow, TeamMemberRow, TeamRow, UserRow
from app.web.principal import Role, SpendLimit

_TOLD_OF_MONEY: tuple[Role, ...] = ("owner", "billing")


async def billing_addresses(session: AsyncSession, *, account_id: AccountId) -> list[str]:
    """Return the mail addresses of those who are told of an account's money: owners and billing, the first first."""
    return await emails_of_roles(session, account_id=account_id, roles=_TOLD_OF_MONEY)


async def emails_of_roles(session: AsyncSession, *, account_id: AccountId, roles: Collection[Role]) -> list[str]:
    """Return the mail addresses of the people of some roles, those who joined first first."""
    return list(await session.scalars(_emails(account_id).where(UserRow.role.in_(roles))))


async def emails_of_people(session: AsyncSession, *, account_id: AccountId, user_ids: Collection[str]) -> list[str]:
    """Return the mail addresses of those of some people who are in the account."""
    return list(await session.scalars(_emails(account_id).where(UserRow.id.in_(user_ids))))


async def emails_behind(session: AsyncSession, *, account_id: AccountId, actor: str) -> list[str]:
    """Return the mail address of who stands behind an actor: the person itself, or who made the key; none if gone."""
    maker = select(ApiKeyRow.created_by).where(ApiKeyRow.account_id == account_id, ApiKeyRow.id == actor)
    return list(await session.scalars(_emails(account_id).where(or_(UserRow.id == actor, UserRow.id.in_(maker)))))


async def lead_emails(session: AsyncSession, *, account_id: AccountId, team_id: TeamId) -> list[str]:
    """Return the mail addresses of those who lead a team."""
    return list(await session.scalars(_of_team(account_id, team_id).where(TeamMemberRow.role == "lead")))


async def key_limits(
    session: AsyncSession, *, account_id: AccountId, key_ids: Collection[str]
) -> dict[ApiKeyId, SpendLimit]:
    """Return the limits of those of some keys that have one."""
    rows = await session.execute(
        select(ApiKeyRow.id, ApiKeyRow.spend_limit, ApiKeyRow.limit_reset).where(
            ApiKeyRow.account_id == account_id, ApiKeyRow.id.in_(key_ids), ApiKeyRow.spend_limit.is_not(None)
        )
    )
    return {ApiKeyId(key_id): limit for key_id, micros, reset in rows if (limit := limit_of(micros, reset))}


async def names_of(session: AsyncSession, *, account_id: AccountId, ids: Collection[str]) -> dict[str, str]:
    """Return the names of teams, people and keys by id, for whichever of the ids are the account's."""
    told: dict[str, str] = {}
    for table in (TeamRow, UserRow, ApiKeyRow):
        rows = await session.execute(
            select(table.id, table.name).where(table.account_id == account_id, table.id.in_(ids))
        )
        told |= {id_: name for id_, name in rows}  # noqa: C416 - rows are no tuples to the type checker
    return told


def _emails(account_id: AccountId) -> Select[str]:
    there = (UserRow.account_id == account_id, UserRow.removed_at.is_(None))
    return select(UserRow.email).where(*there).order_by(UserRow.joined_at, UserRow.id)


def _of_team(account_id: AccountId, team_id: TeamId) -> Select[str]:
    together = (TeamMemberRow.account_id == UserRow.account_id) & (TeamMemberRow.user_id == UserRow.id)
    return _emails(account_id).join(TeamMemberRow, together).where(TeamMemberRow.team_id == team_id)
