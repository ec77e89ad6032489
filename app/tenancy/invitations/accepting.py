"""Accepting an invitation: the person who has its address joins the account, its teams too, once."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit
from app.audit import OPERATOR
from app.kit.finding import known
from app.kit.ids import AccountId, InvitationId, TeamId
from app.tenancy.errors import InvitationOver
from app.tenancy.invitations import queries
from app.tenancy.invitations.senders import may_invite
from app.tenancy.members.changing import remove
from app.tenancy.members.queries import find_member, list_with_address
from app.tenancy.models import AccountRow, InvitationRow, TeamMemberRow, UserRow
from app.tenancy.queries import lock_account
from app.tenancy.teams import find_team
from app.web import SignedIn
from app.web.errors import AccountSuspended, Forbidden


@dataclass(frozen=True, slots=True)
class Accepted:
    """What came of accepting an invitation."""

    account: AccountRow
    member: UserRow
    removed: tuple[str, ...] = ()
    """Who stood in the account for the person, and no longer does."""


async def accept(
    session: AsyncSession,
    person: SignedIn,
    invitation_id: InvitationId,
    *,
    account_id: AccountId,
    hashed: bytes,
    at: datetime,
) -> Accepted:
    """Let a person join; who is in the account already keeps its role and joins the teams. The audit is told.

    Accepting it again, by the same person, answers the same.

    Raises:
        NotFound: there is no such invitation.
        InvitationOver: expired, revoked, accepted by another, sent anew, or its sender may not ask people in any more.
        Forbidden: it was sent to an address that is not the person's.
        AccountSuspended: nobody joins now.
    """
    account = await lock_account(session, account_id=account_id)
    invitation = await queries.lock_invitation(session, invitation_id, account_id=account_id)
    if invitation.email.lower() not in {email.lower() for email in person.emails}:
        raise Forbidden("This invitation was sent to an address that is not among your verified ones.")
    if account.status != "active":
        raise AccountSuspended
    member = await find_member(session, person.person_id, account_id=account_id)
    if member is not None and member.removed_at is None and invitation.accepted_by == person.person_id:
        return Accepted(account, member)
    await _check_open(session, invitation, hashed=hashed, at=at)
    joins = member is None or member.removed_at is not None
    row = await _join(session, person, invitation, member, at=at)
    invitation.accepted_at, invitation.accepted_by = at, person.person_id
    await session.flush()
    removed = await _take_the_place(session, invitation, row, at=at)
    teams = await _join_teams(session, invitation, row, at=at)
    await audit.write(session, _entry(invitation, row, joins=joins, teams=teams, at=at))
    return Accepted(account, row, removed)


async def _check_open(session: AsyncSession, row: InvitationRow, *, hashed: bytes, at: datetime) -> None:
    replaced = not hmac.compare_digest(row.token_hash, hashed)
    if row.accepted_at is not None or row.revoked_at is not None or row.expires_at <= at or replaced:
        raise InvitationOver
    if not await may_invite(session, row.invited_by, role=row.role, account_id=AccountId(row.account_id)):
        raise InvitationOver("Who sent this invitation may not ask people in any more.")


async def _join(
    session: AsyncSession, person: SignedIn, invitation: InvitationRow, member: UserRow | None, *, at: datetime
) -> UserRow:
    account_id = AccountId(invitation.account_id)
    if member is None:
        member = UserRow(account_id=account_id, id=person.person_id)
        session.add(member)
    if member.joined_at is None or member.removed_at is not None:
        member.role, member.joined_at, member.removed_at = invitation.role, at, None
        member.name, member.email = person.name, person.emails[0]
    await session.flush()
    return member


async def _take_the_place(
    session: AsyncSession, invitation: InvitationRow, member: UserRow, *, at: datetime
) -> tuple[str, ...]:
    """Remove who stands for this person since the operator opened the account for it: nobody can sign in as that one."""
    if invitation.invited_by != OPERATOR or not (invitation.role == member.role == "owner"):
        return ()
    account_id, removed = AccountId(member.account_id), list[str]()
    for other in await list_with_address(session, invitation.email, account_id=account_id):
        if other.id != member.id:
            ended = await remove(session, other, at=at)
            details = {"before": {"role": other.role}, **ended.told}
            await audit.write(session, audit.Entry(account_id, "member.removed", other.id, at, details=details))
            removed.append(other.id)
    return tuple(removed)


async def _join_teams(
    session: AsyncSession, invitation: InvitationRow, member: UserRow, *, at: datetime
) -> list[TeamId]:
    """Put the person into the teams that it was asked into; return those that it has joined."""
    return [
        team_id
        for place in invitation.teams
        if await _join_team(session, team_id := TeamId(place["team_id"]), member, role=place["role"], at=at)
    ]


async def _join_team(session: AsyncSession, team_id: TeamId, member: UserRow, *, role: str, at: datetime) -> bool:
    """Put the person into a team; return False where it was archived meanwhile or the person is in it."""
    team = await find_team(session, team_id, account_id=AccountId(member.account_id))
    if team is None or team.archived_at is not None:
        return False
    values = {
        "account_id": member.account_id,
        "team_id": team_id,
        "user_id": member.id,
        "role": role,
        "added_at": at,
    }
    statement = insert(TeamMemberRow).values(values).on_conflict_do_nothing().returning(TeamMemberRow.team_id)
    return await session.scalar(statement) is not None


def _entry(
    invitation: InvitationRow, member: UserRow, *, joins: bool, teams: list[TeamId], at: datetime
) -> audit.Entry:
    """Return the entry of a person who joins, or of one of the account's who has accepted for its teams' sake."""
    account_id, told = AccountId(invitation.account_id), {"teams_joined": teams}
    if not joins:
        return audit.Entry(
            account_id, "invitation.accepted", invitation.id, at, details={"member_id": member.id, **told}
        )
    after = {"role": member.role, "email": member.email}
    details = {"after": after, "invitation_id": invitation.id, **told}
    return audit.Entry(account_id, "member.joined", member.id, at, details=details)


def known_invitation_id(text: str) -> InvitationId:
    """Return the id that a text from outside stands for.

    Raises:
        NotFound: it is none, which is told like one that nobody has.
    """
    return known(InvitationId, text, "invitation")
