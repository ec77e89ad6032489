"""Accepting an invitation: the person who has its address joins the account, its teams too, once."""

from __future__ import annotations

import hmac
from datetime import datetime

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import OPERATOR
from app.kit.errors import NotFound
from app.kit.ids import AccountId, InvitationId, TeamId
from app.tenancy.errors import InvitationOver
from app.tenancy.invitations import queries
from app.tenancy.invitations.queries import NO_INVITATION
from app.tenancy.invitations.senders import may_invite
from app.tenancy.members.changing import remove
from app.tenancy.members.queries import find_member, list_with_address
from app.tenancy.models import AccountRow, InvitationRow, TeamMemberRow, UserRow
from app.tenancy.queries import lock_account
from app.tenancy.teams import find_team
from app.web import SignedIn
from app.web.errors import AccountSuspended, Forbidden


async def accept(
    session: AsyncSession,
    person: SignedIn,
    invitation_id: InvitationId,
    *,
    account_id: AccountId,
    hashed: bytes,
    at: datetime,
) -> tuple[AccountRow, UserRow]:
    """Let a person join; who is in the account already keeps its role and joins the teams.

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
        return account, member
    await _check_open(session, invitation, hashed=hashed, at=at)
    row = await _join(session, person, invitation, member, at=at)
    invitation.accepted_at, invitation.accepted_by = at, person.person_id
    await session.flush()
    return account, row


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
    if invitation.invited_by == OPERATOR and invitation.role == member.role == "owner":
        await _take_the_place(session, invitation.email, member, at=at)
    for place in invitation.teams:
        await _join_team(session, TeamId(place["team_id"]), member, role=place["role"], at=at)
    return member


async def _take_the_place(session: AsyncSession, email: str, member: UserRow, *, at: datetime) -> None:
    """Remove who stands for this person since the operator opened the account for it: nobody can sign in as that one."""
    for other in await list_with_address(session, email, account_id=AccountId(member.account_id)):
        if other.id != member.id:
            await remove(session, other, at=at)


async def _join_team(session: AsyncSession, team_id: TeamId, member: UserRow, *, role: str, at: datetime) -> None:
    """Put the person into a team, unless it was archived meanwhile or the person is in it."""
    team = await find_team(session, team_id, account_id=AccountId(member.account_id))
    if team is None or team.archived_at is not None:
        return
    values = {
        "account_id": member.account_id,
        "team_id": team_id,
        "user_id": member.id,
        "role": role,
        "added_at": at,
    }
    await session.execute(insert(TeamMemberRow).values(values).on_conflict_do_nothing())


def known_invitation_id(text: str) -> InvitationId:
    """Return the id that a text from outside stands for.

    Raises:
        NotFound: it is none, which is told like one that nobody has.
    """
    try:
        return InvitationId.parse(text)
    except ValueError:
        raise NotFound(NO_INVITATION) from None
