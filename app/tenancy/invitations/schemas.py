"""Wire shapes of invitations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self, cast

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from app.kit.ids import TeamId
from app.mail import Mailbox
from app.tenancy.invitations.inviting import TeamPlace, Wish
from app.tenancy.members.changing import role_of
from app.tenancy.models import AccountRow, InvitationRow, UserRow
from app.tenancy.teams.teams import TeamRole
from app.web.principal import Role
from app.web.schemas import Text, TimeOut, Wire

Status = Literal["open", "accepted", "revoked", "expired"]
_TEAMS_MAX = 50


def _address(text: str) -> str:
    return Mailbox.of(text).address.lower()


def _team_id(text: str) -> str:
    try:
        return TeamId.parse(text)
    except ValueError:
        raise ValueError("must be a team's id") from None


Email = Annotated[Text, Field(max_length=254, examples=["person@example.com"]), AfterValidator(_address)]


class Place(Wire):
    """A team, and what the person is to be there."""

    team_id: Annotated[Text, Field(max_length=64), AfterValidator(_team_id)]
    role: TeamRole = "member"


class InvitationCreate(Wire):
    """Who is asked into the account, as what, and into which teams."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "person@example.com", "role": "member"}]})

    email: Email
    role: Role = "member"
    teams: Annotated[list[Place], Field(default_factory=list, max_length=_TEAMS_MAX)]

    @model_validator(mode="after")
    def _names_a_team_once(self) -> Self:
        if len({place.team_id for place in self.teams}) < len(self.teams):
            raise ValueError("must not name a team twice")
        return self

    def wish(self) -> Wish:
        """Return it as the room has it."""
        places = tuple(TeamPlace(TeamId(place.team_id), place.role) for place in self.teams)
        return Wish(self.email, self.role, places)


class InvitationAccept(Wire):
    """The token of the mail."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"token": "hgi_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}
    )

    token: Annotated[Text, Field(max_length=100)]


class Invitation(Wire):
    """An invitation. Its token is in the mail alone."""

    id: str
    object: Literal["invitation"] = "invitation"
    email: str
    role: Role
    teams: list[Place]
    status: Status
    invited_by: str
    created_at: TimeOut
    expires_at: TimeOut
    last_sent_at: TimeOut
    times_sent: int
    accepted_at: TimeOut | None
    accepted_by: str | None
    revoked_at: TimeOut | None

    @classmethod
    def of(cls, row: InvitationRow, *, at: datetime) -> Invitation:
        """Return an invitation as it is shown at a moment."""
        return cls(
            id=row.id,
            email=row.email,
            role=cast("Role", row.role),
            teams=[Place(team_id=place["team_id"], role=place["role"]) for place in row.teams],
            status=status_of(row, at=at),
            invited_by=row.invited_by,
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_sent_at=row.sent_at,
            times_sent=row.times_sent,
            accepted_at=row.accepted_at,
            accepted_by=row.accepted_by,
            revoked_at=row.revoked_at,
        )


class Joined(Wire):
    """The account that a person has joined. The session acts there after ``PUT /v1/session``."""

    account_id: str
    object: Literal["membership"] = "membership"
    name: str
    role: Role
    joined_at: TimeOut

    @classmethod
    def of(cls, account: AccountRow, member: UserRow) -> Joined:
        """Return a membership as its person sees it."""
        return cls(account_id=account.account_id, name=account.name, role=role_of(member), joined_at=member.joined_at)


def status_of(row: InvitationRow, *, at: datetime) -> Status:
    """Return what an invitation has come to at a moment."""
    if row.accepted_at is not None:
        return "accepted"
    if row.revoked_at is not None:
        return "revoked"
    return "open" if row.expires_at > at else "expired"
