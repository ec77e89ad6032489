"""The life of a team: made, changed, archived; people put into it and taken out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.finding import found
from app.kit.ids import AccountId, TeamId, UserId
from app.tenancy.errors import NameTaken, TeamArchived, TooMany
from app.tenancy.models import TeamMemberRow, TeamRow
from app.tenancy.roles import administers, manages
from app.tenancy.teams import queries
from app.tenancy.teams.queries import Membership
from app.tenancy.teams.teams import TeamRole
from app.web import Principal
from app.web.errors import Forbidden

TEAMS_MAX = 500


async def add_team(session: AsyncSession, *, account_id: AccountId, name: str, time_zone: str, at: datetime) -> TeamRow:
    """Make a team.

    Raises:
        NameTaken: another one that is not archived has this name.
        TooMany: the account has as many as it can have.
    """
    if await queries.count_active(session, account_id=account_id) >= TEAMS_MAX:
        raise TooMany(f"An account has at most {TEAMS_MAX} teams.")
    row = TeamRow(account_id=account_id, id=TeamId.new(), name=name, time_zone=time_zone, created_at=at)
    session.add(row)
    await _save(session)
    return row


async def change_team(session: AsyncSession, row: TeamRow, changes: Mapping[str, str]) -> None:
    """Change a team whose row the caller holds.

    Raises:
        TeamArchived: it is archived.
        NameTaken: another one that is not archived has this name.
    """
    if row.archived_at is not None:
        raise TeamArchived
    for name, value in changes.items():
        setattr(row, name, value)
    await _save(session)


async def put_member(
    session: AsyncSession, team: TeamRow, user_id: UserId, *, role: TeamRole, at: datetime
) -> Membership:
    """Put a person of the account into a team whose row the caller holds, or make it something else there.

    Raises:
        TeamArchived: the team is archived.
        NotFound: there is no such person in the account.
    """
    if team.archived_at is not None:
        raise TeamArchived
    account_id = AccountId(team.account_id)
    user = found(await queries.hold_person(session, user_id, account_id=account_id), "member")
    member = await queries.find_member(session, TeamId(team.id), user_id, account_id=account_id)
    if member is not None:
        member[0].role = role
        await session.flush()
        return member
    values = {"account_id": account_id, "team_id": team.id, "user_id": user_id, "role": role, "added_at": at}
    row = (await session.scalars(insert(TeamMemberRow).values(values).returning(TeamMemberRow))).one()
    return row, user


async def drop_member(session: AsyncSession, team: TeamRow, user_id: UserId) -> None:
    """Take a person out of a team whose row the caller holds."""
    await session.execute(
        delete(TeamMemberRow)
        .where(
            TeamMemberRow.account_id == team.account_id,
            TeamMemberRow.team_id == team.id,
            TeamMemberRow.user_id == user_id,
        )
        .execution_options(synchronize_session=False)
    )


def require_administrator(caller: Principal) -> None:
    """Pass when a caller may make, change and archive teams.

    Raises:
        Forbidden: it may not.
    """
    if not administers(caller):
        raise Forbidden("Only an administrator of the whole account can make or change teams.")


def require_manager(caller: Principal, team_id: TeamId, *, was: str | None, becomes: str | None) -> None:
    """Pass when a caller may make somebody who ``was`` something in a team, or nothing, something else there.

    Leads put members in and take them out; who leads is for administrators to say.

    Raises:
        Forbidden: it may not.
    """
    if not manages(caller, team_id):
        raise Forbidden("Only a lead of this team, or an administrator of the account, can change its members.")
    if "lead" in {was, becomes} and was != becomes and not administers(caller):
        raise Forbidden("Only an administrator of the account can say who leads a team.")


async def _save(session: AsyncSession) -> None:
    """Write now, so that a name which is taken is told as such. The transaction is lost then, and nothing else was in it."""
    try:
        await session.flush()
    except IntegrityError as error:
        if "ix_teams_account_id_name" in str(error.orig):
            raise NameTaken from None
        raise
