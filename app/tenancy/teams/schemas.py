"""Wire shapes of teams and their members."""

from __future__ import annotations

from typing import Annotated, Literal, Self, cast

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from app.kit.days import zone_named
from app.tenancy.models import TeamMemberRow, TeamRow, UserRow
from app.tenancy.teams.teams import TeamRole
from app.web import Page, etag
from app.web.schemas import Name, TimeOut, Wire


def _zone(name: str) -> str:
    zone_named(name)
    return name


TimeZone = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_+/-]{1,64}$", examples=["Europe/Berlin"]),
    AfterValidator(_zone),
]
"""A time zone by its IANA name."""


class TeamCreate(Wire):
    """A new team."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "vision", "time_zone": "Europe/Berlin"}]})

    name: Name
    time_zone: TimeZone = "UTC"


class TeamUpdate(Wire):
    """What of a team is to change; what is not named stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "vision and speech"}]})

    name: Name | None = None
    time_zone: TimeZone | None = None

    @model_validator(mode="after")
    def _names_a_change(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must name something to change")
        if any(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError("can clear nothing")
        return self


class TeamOut(Wire):
    """A team. Its days, and so its daily budgets, begin at midnight in its time zone."""

    id: str
    object: Literal["team"] = "team"
    name: str
    time_zone: str
    created_at: TimeOut
    archived_at: TimeOut | None

    @classmethod
    def of(cls, row: TeamRow) -> TeamOut:
        """Return a team as it is shown."""
        return cls(
            id=row.id,
            name=row.name,
            time_zone=row.time_zone,
            created_at=row.created_at,
            archived_at=row.archived_at,
        )


class TeamPage(Page):
    """The query of the list of teams."""

    archived: Annotated[bool, Field(description="Also those that are archived.")] = False


class TeamMemberPage(Page):
    """The query of the list of a team's members."""

    team_id: str = ""
    """Of the path; it stands here so that a cursor is this team's alone."""


class TeamMemberPut(Wire):
    """What somebody is in a team."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "member"}]})

    role: TeamRole = "member"


class TeamMemberOut(Wire):
    """A person in a team."""

    object: Literal["team_member"] = "team_member"
    team_id: str
    user_id: str
    name: str
    email: str
    role: TeamRole
    added_at: TimeOut

    @classmethod
    def of(cls, member: TeamMemberRow, user: UserRow) -> TeamMemberOut:
        """Return a member as it is shown."""
        return cls(
            team_id=member.team_id,
            user_id=member.user_id,
            name=user.name,
            email=user.email,
            role=cast("TeamRole", member.role),
            added_at=member.added_at,
        )


def team_etag(row: TeamRow) -> str:
    """Return the tag of a team's version: of whatever a request can change."""
    return etag(row.id, row.name, row.time_zone, row.archived_at)
