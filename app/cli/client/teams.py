"""The client's commands for teams and who is in them."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.client import output
from app.cli.client.naming import PersonArg, TeamArg, person_id_of, team_id_of
from app.cli.client.options import AsJson, Limit, Profile, Yes, agree, open_api

_TEAMS = (("TEAM", "name"), ("ID", "id"), ("TIME ZONE", "time_zone"), ("CREATED", "created_at"),
          ("ARCHIVED", "archived_at"))  # fmt: skip
_TEAM = (("Team", "name"), ("Id", "id"), ("Time zone", "time_zone"), ("Created", "created_at"),
         ("Archived", "archived_at"))  # fmt: skip
_MEMBERS = (("NAME", "name"), ("MAIL", "email"), ("ROLE", "role"), ("ID", "user_id"), ("ADDED", "added_at"))
_MEMBER = (("Name", "name"), ("Mail", "email"), ("Role", "role"), ("Id", "user_id"), ("Team", "team_id"))
TimeZone = Annotated[str | None, typer.Option(help="Where its days begin at midnight, such as Europe/Berlin.")]

teams = typer.Typer(no_args_is_help=True, help="Teams of the account, and who is in them.")


@teams.command("list")
def list_teams(
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones too.")] = False,
    limit: Limit = 200,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show the teams that your key sees."""
    with open_api(profile) as api:
        rows = list(api.pages("/v1/teams", {"archived": "true" if archived else None}, limit=limit))
    output.show_list(rows, _TEAMS, "There are no teams.", as_json=as_json)


@teams.command("create")
def create(
    name: Annotated[str, typer.Argument(help="1 to 64 characters, no other team's.")],
    *,
    time_zone: TimeZone = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Make a team. Until it has a policy of its own it may have 2 rtx-4090 at once and spend $10 a day."""
    with open_api(profile) as api:
        made = api.post("/v1/teams", {"name": name, **({"time_zone": time_zone} if time_zone else {})})
    output.show(made, _TEAM, as_json=as_json)


@teams.command("show")
def show(team: TeamArg, profile: Profile = None, as_json: AsJson = False) -> None:
    """Show one team."""
    with open_api(profile) as api:
        output.show(api.get(f"/v1/teams/{team_id_of(api, team)}"), _TEAM, as_json=as_json)


@teams.command("update")
def update(
    team: TeamArg,
    *,
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    time_zone: TimeZone = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Give a team another name or time zone."""
    changes = {key: value for key, value in (("name", name), ("time_zone", time_zone)) if value is not None}
    with open_api(profile) as api:
        output.show(api.patch(f"/v1/teams/{team_id_of(api, team)}", changes), _TEAM, as_json=as_json)


@teams.command("archive")
def archive(team: TeamArg, yes: Yes = False, profile: Profile = None, as_json: AsJson = False) -> None:
    """Archive a team, for good. Its keys are revoked; rentals that run go on."""
    if not yes:
        agree(f"{team} is archived for good, and its keys are revoked.", as_json=as_json, otherwise="It stays.")
    with open_api(profile) as api:
        output.show(api.delete(f"/v1/teams/{team_id_of(api, team)}"), _TEAM, as_json=as_json)


@teams.command("members")
def members(team: TeamArg, limit: Limit = 200, profile: Profile = None, as_json: AsJson = False) -> None:
    """Show who is in a team."""
    with open_api(profile) as api:
        rows = list(api.pages(f"/v1/teams/{team_id_of(api, team)}/members", limit=limit))
    output.show_list(rows, _MEMBERS, "Nobody is in this team.", as_json=as_json)


@teams.command("add")
def add(
    team: TeamArg,
    person: PersonArg,
    *,
    lead: Annotated[bool, typer.Option("--lead", help="As who leads it.")] = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Put somebody of the account into a team, or say whether that one leads it."""
    with open_api(profile) as api:
        path = f"/v1/teams/{team_id_of(api, team)}/members/{person_id_of(api, person)}"
        output.show(api.put(path, {"role": "lead" if lead else "member"}), _MEMBER, as_json=as_json)


@teams.command("remove")
def remove(team: TeamArg, person: PersonArg, profile: Profile = None, as_json: AsJson = False) -> None:
    """Take somebody out of a team. The keys that it made for the team are revoked."""
    with open_api(profile) as api:
        path = f"/v1/teams/{team_id_of(api, team)}/members/{person_id_of(api, person)}"
        output.show(api.delete(path), _MEMBER, as_json=as_json)
