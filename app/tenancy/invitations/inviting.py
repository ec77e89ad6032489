"""Asking somebody into an account: written with its mail in one transaction, sent again, taken back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, mail
from app.audit import OPERATOR
from app.kit.clock import rfc3339
from app.kit.ids import AccountId, InvitationId, TeamId
from app.tenancy.errors import (
    AlreadyInvited,
    AlreadyMember,
    InvitationOver,
    SentTooOften,
    TeamArchived,
    TooMany,
    UnknownReference,
)
from app.tenancy.invitations import queries
from app.tenancy.invitations.senders import may_invite
from app.tenancy.invitations.tokens import new_token, token_hash
from app.tenancy.members.queries import is_member_address
from app.tenancy.models import InvitationRow, InvitationTokenRow
from app.tenancy.queries import get_account, lock_account
from app.tenancy.teams import find_team
from app.tenancy.teams.teams import TeamRole
from app.web import Work
from app.web.errors import Forbidden
from app.web.principal import Role

ACCEPT_PAGE = "/v1/invitations/accept"
LASTS = timedelta(days=7)
OPEN_MAX = 100
A_DAY_MAX = 200
SENT_MAX = 10
_SENT_EVERY = timedelta(minutes=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TeamPlace:
    """A team that an invited person will be in, and as what."""

    team_id: TeamId
    role: TeamRole


@dataclass(frozen=True, slots=True)
class Wish:
    """Who is asked, as what, and into which teams."""

    email: str
    role: Role
    places: tuple[TeamPlace, ...] = ()


@dataclass(frozen=True, slots=True)
class Sender:
    """Who asks, into which account and when."""

    account_id: AccountId
    id: str
    """A person's, a key's that nobody of the account made, or ``operator``."""
    name: str | None
    """A person's, for the mail."""
    at: datetime

    @classmethod
    def of(cls, work: Work) -> Sender:
        """Return a request's caller as a sender."""
        caller = work.principal
        name = caller.name if caller.key_id is None else None
        return cls(work.account_id, caller.user_id or caller.actor, name, work.at)


@dataclass(frozen=True, slots=True)
class Post:
    """How the mail is written: the pepper of its token, and where the person goes with it."""

    pepper: bytes
    page: str

    @classmethod
    def by(cls, pepper: bytes, public_url: str) -> Post:
        """Return how it is written where browsers reach the service at a URL."""
        return cls(pepper, f"{public_url.rstrip('/')}{ACCEPT_PAGE}")


async def invite_owner(
    session: AsyncSession, *, account_id: AccountId, email: str, post: Post, at: datetime
) -> InvitationId:
    """Ask somebody, for the operator, to own an account; as the worker.

    Whoever accepts takes the place of those who stand in the account with the same address: nobody signs in as they.

    Raises:
        NotFound: there is no such account.
        AlreadyInvited, TooMany, SentTooOften: as ``invite``.
    """
    row = await invite(session, Sender(account_id, OPERATOR, None, at), Wish(email.lower(), "owner"), post)
    told = {"after": {"email": row.email, "role": row.role}}
    await audit.write(session, audit.Entry(account_id, "invitation.created", row.id, at, details=told))
    return InvitationId(row.id)


async def invite(session: AsyncSession, sender: Sender, wish: Wish, post: Post) -> InvitationRow:
    """Ask somebody into an account. An invitation to the same address that has expired makes way.

    Raises:
        Forbidden: the sender has lost the role for it in this moment.
        AlreadyMember, AlreadyInvited: nobody need be asked.
        UnknownReference, TeamArchived: a team can't be joined.
        TooMany, SentTooOften: there are as many invitations as there can be, or too many on one day.
    """
    account_id, at = sender.account_id, sender.at
    await lock_account(session, account_id=account_id)
    if not await may_invite(session, sender.id, role=wish.role, account_id=account_id):
        raise Forbidden("This person may not ask people in any more.")
    if sender.id != OPERATOR and await is_member_address(session, wish.email, account_id=account_id):
        raise AlreadyMember
    await _make_way(session, wish.email, account_id=account_id, at=at)
    await _check_number(session, account_id=account_id, at=at)
    for place in wish.places:
        await _check_team(session, place.team_id, account_id=account_id)
    token = new_token()
    row = InvitationRow(
        account_id=account_id,
        id=InvitationId.new(),
        email=wish.email,
        role=wish.role,
        teams=[asdict(place) for place in wish.places],
        token_hash=token_hash(token, pepper=post.pepper),
        invited_by=sender.id,
        created_at=at,
        expires_at=at + LASTS,
        sent_at=at,
        times_sent=1,
    )
    session.add(row)
    await session.flush()
    await _send(session, sender, row, token=token, page=post.page)
    return row


async def send_again(session: AsyncSession, sender: Sender, row: InvitationRow, post: Post) -> None:
    """Send an invitation whose row is held once more, for another seven days; the token sent before opens no longer.

    Raises:
        InvitationOver: it was accepted or revoked.
        SentTooOften: it was sent less than a minute ago, or ten times.
    """
    if row.accepted_at is not None or row.revoked_at is not None:
        raise InvitationOver("The invitation was accepted or revoked; make a new one.")
    rests = (row.sent_at + _SENT_EVERY - sender.at).total_seconds()
    if rests > 0:
        raise SentTooOften(headers={"Retry-After": str(int(rests) + 1)})
    if row.times_sent >= SENT_MAX:
        raise SentTooOften(
            f"The invitation was sent {SENT_MAX} times.", headers={"Retry-After": str(int(_DAY.total_seconds()))}
        )
    token = new_token()
    row.token_hash = token_hash(token, pepper=post.pepper)
    row.sent_at, row.expires_at, row.times_sent = sender.at, sender.at + LASTS, row.times_sent + 1
    await session.flush()
    await _send(session, sender, row, token=token, page=post.page)


async def revoke(session: AsyncSession, row: InvitationRow, *, at: datetime) -> None:
    """Take back an invitation whose row is held; one that was taken back before stays so.

    Raises:
        InvitationOver: it was accepted.
    """
    if row.accepted_at is not None:
        raise InvitationOver("The invitation was accepted; remove the member instead.")
    if row.revoked_at is None:
        row.revoked_at = at
        await session.flush()


async def _make_way(session: AsyncSession, email: str, *, account_id: AccountId, at: datetime) -> None:
    former = await queries.find_unanswered(session, email, account_id=account_id)
    if former is None:
        return
    if former.expires_at > at:
        raise AlreadyInvited(extra={"invitation_id": former.id})
    await revoke(session, former, at=at)


async def _check_number(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    if await queries.count_open(session, account_id=account_id, at=at) >= OPEN_MAX:
        raise TooMany(f"An account has at most {OPEN_MAX} open invitations.")
    if await queries.count_made_since(session, at - _DAY, account_id=account_id) >= A_DAY_MAX:
        raise SentTooOften(f"An account makes at most {A_DAY_MAX} invitations a day.", headers={"Retry-After": "3600"})


async def _check_team(session: AsyncSession, team_id: TeamId, *, account_id: AccountId) -> None:
    team = await find_team(session, team_id, account_id=account_id)
    if team is None:
        raise UnknownReference
    if team.archived_at is not None:
        raise TeamArchived


async def _send(session: AsyncSession, sender: Sender, row: InvitationRow, *, token: str, page: str) -> None:
    """Put the token into the table that finds its account, and into the mail: it stands nowhere else."""
    tied = {"hash": row.token_hash, "account_id": row.account_id, "invitation_id": row.id}
    await session.execute(insert(InvitationTokenRow).values(tied))
    account = await get_account(session, account_id=sender.account_id)
    data = {
        "account_name": account.name,
        "role": row.role,
        "inviter": sender.name,
        "page": page,
        "token": token,
        "expires_at": rfc3339(row.expires_at),
    }
    await mail.write(
        session,
        account_id=sender.account_id,
        to=[row.email],
        template="invitation",
        data=data,
        key=f"invitation:{row.id}:{row.times_sent}",
        at=sender.at,
    )
