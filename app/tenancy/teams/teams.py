"""A team, as the rooms above see it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.finding import found, known
from app.kit.ids import AccountId, TeamId, UserId
from app.tenancy.models import TeamRow

TeamRole = Literal["lead", "member"]


@dataclass(frozen=True, slots=True)
class Team:
    """A part of an account. Its days begin at midnight in its time zone."""

    account_id: AccountId
    id: TeamId
    name: str
    time_zone: str
    created_at: datetime
    archived_at: datetime | None

    @property
    def zone(self) -> ZoneInfo:
        """Return where its days begin."""
        return ZoneInfo(self.time_zone)

    @classmethod
    def of(cls, row: TeamRow) -> Team:
        """Return a row's team."""
        return cls(AccountId(row.account_id), TeamId(row.id), row.name, row.time_zone, row.created_at, row.archived_at)


async def find_team(session: AsyncSession, team_id: TeamId, *, account_id: AccountId) -> Team | None:
    """Return a team of an account, archived ones too, or None."""
    row = await session.scalar(select(TeamRow).where(TeamRow.account_id == account_id, TeamRow.id == team_id))
    return None if row is None else Team.of(row)


async def get_team(session: AsyncSession, team_id: TeamId, *, account_id: AccountId) -> Team:
    """Return a team of an account, archived ones too.

    Raises:
        NotFound: the account has no such team.
    """
    return found(await find_team(session, team_id, account_id=account_id), "team")


async def list_teams(
    session: AsyncSession, *, account_id: AccountId, reach: Collection[TeamId] | None = None
) -> list[Team]:
    """Return an account's teams by name, archived ones too; with a reach, those of it only."""
    query = select(TeamRow).where(TeamRow.account_id == account_id)
    if reach is not None:
        query = query.where(TeamRow.id.in_(reach))
    return [Team.of(row) for row in await session.scalars(query.order_by(TeamRow.name, TeamRow.id))]


def known_team_id(text: str) -> TeamId:
    """Return the id that a text from outside stands for.

    Raises:
        NotFound: it is none, which is told like one that nobody has.
    """
    return known(TeamId, text, "team")


def known_user_id(text: str) -> UserId:
    """Return the id of a person that a text from outside stands for.

    Raises:
        NotFound: it is none, which is told like one that nobody has.
    """
    return known(UserId, text, "member")
