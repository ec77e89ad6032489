"""Wire shapes of members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, cast

from pydantic import ConfigDict, Field

from app.tenancy.members.changing import role_of
from app.tenancy.models import TeamMemberRow, UserRow
from app.tenancy.teams.teams import TeamRole
from app.web import etag
from app.web.principal import Role
from app.web.schemas import Text, TimeOut, Wire


class MemberTeam(Wire):
    """A team that a person is in."""

    team_id: str
    role: TeamRole


class Member(Wire):
    """A person of the account."""

    id: str
    object: Literal["member"] = "member"
    name: str
    email: str
    role: Role
    teams: list[MemberTeam]
    joined_at: TimeOut
    removed_at: TimeOut | None

    @classmethod
    def of(cls, row: UserRow, teams: Sequence[TeamMemberRow]) -> Member:
        """Return a person as it is shown."""
        return cls(
            id=row.id,
            name=row.name,
            email=row.email,
            role=role_of(row),
            teams=[MemberTeam(team_id=team.team_id, role=cast("TeamRole", team.role)) for team in teams],
            joined_at=row.joined_at,
            removed_at=row.removed_at,
        )


class MemberUpdate(Wire):
    """What somebody is to be."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "member"}]})

    role: Role


class Transfer(Wire):
    """Who is to own the account, and what the owner who hands it over is afterwards."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "usr_01J9ZC5R1XJ6Y5W8T2K7M4N3P0"}]})

    user_id: Annotated[Text, Field(max_length=64)]
    role_afterwards: Role = "admin"


def member_etag(row: UserRow) -> str:
    """Return the tag of a membership's version: of whatever a request can change."""
    return etag(row.id, row.role, row.joined_at, row.removed_at)
