"""The client's commands for the people of the account: who is there, asking in, roles, removing."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.client import output
from app.cli.client.naming import PersonArg, known_path, person_id_of, team_id_of
from app.cli.client.options import AsJson, Limit, Profile, Yes, agree, open_api

_MEMBERS = (("NAME", "name"), ("MAIL", "email"), ("ROLE", "role"), ("ID", "id"), ("JOINED", "joined_at"))
_MEMBER = (("Name", "name"), ("Mail", "email"), ("Role", "role"), ("Id", "id"), ("Joined", "joined_at"),
           ("Removed", "removed_at"))  # fmt: skip
_INVITATIONS = (("MAIL", "email"), ("ROLE", "role"), ("STATUS", "status"), ("ID", "id"), ("EXPIRES", "expires_at"))
_INVITATION = (("Mail", "email"), ("Role", "role"), ("Status", "status"), ("Id", "id"), ("Sent", "last_sent_at"),
               ("Expires", "expires_at"))  # fmt: skip
RoleArg = Annotated[str, typer.Argument(metavar="ROLE", help="owner, admin, billing, member or viewer.")]
InvitationArg = Annotated[str, typer.Argument(metavar="INVITATION", help="Its id, inv_…")]

members = typer.Typer(no_args_is_help=True, help="The people of the account and their roles.")


@members.command("list")
def list_members(limit: Limit = 200, profile: Profile = None, as_json: AsJson = False) -> None:
    """Show who is in the account."""
    with open_api(profile) as api:
        rows = list(api.pages("/v1/members", limit=limit))
    output.show_list(rows, _MEMBERS, "Nobody is in the account.", as_json=as_json)


@members.command("role")
def set_role(person: PersonArg, role: RoleArg, profile: Profile = None, as_json: AsJson = False) -> None:
    """Give somebody another role. Its keys go as far as that from then on."""
    with open_api(profile) as api:
        output.show(api.patch(f"/v1/members/{person_id_of(api, person)}", {"role": role}), _MEMBER, as_json=as_json)


@members.command("remove")
def remove(person: PersonArg, yes: Yes = False, profile: Profile = None, as_json: AsJson = False) -> None:
    """Remove somebody from the account, with its teams and keys. What it rented runs on."""
    if not yes:
        agree(
            f"{person} is removed from the account, and its keys are revoked.",
            as_json=as_json,
            otherwise="Nothing has changed.",
        )
    with open_api(profile) as api:
        output.show(api.delete(f"/v1/members/{person_id_of(api, person)}"), _MEMBER, as_json=as_json)


@members.command("invite")
def invite(
    email: Annotated[str, typer.Argument(help="Where the invitation is sent.")],
    *,
    role: Annotated[str, typer.Option(help="owner, admin, billing, member or viewer.")] = "member",
    team: Annotated[list[str] | None, typer.Option(help="A team to be in, by name or id; repeatable.")] = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Ask somebody into the account by mail."""
    with open_api(profile) as api:
        places = [{"team_id": team_id_of(api, name)} for name in team or []]
        made = api.post("/v1/invitations", {"email": email, "role": role, "teams": places})
    output.show(made, _INVITATION, as_json=as_json)


@members.command("invitations")
def invitations(limit: Limit = 50, profile: Profile = None, as_json: AsJson = False) -> None:
    """Show who was asked in, newest first."""
    with open_api(profile) as api:
        rows = list(api.pages("/v1/invitations", limit=limit))
    output.show_list(rows, _INVITATIONS, "Nobody was invited.", as_json=as_json)


@members.command("resend")
def resend(invitation: InvitationArg, profile: Profile = None, as_json: AsJson = False) -> None:
    """Send an invitation again, for another seven days."""
    path = known_path("invitations", invitation, "inv")
    with open_api(profile) as api:
        output.show(api.post(f"{path}/resend"), _INVITATION, as_json=as_json)


@members.command("uninvite")
def uninvite(invitation: InvitationArg, profile: Profile = None, as_json: AsJson = False) -> None:
    """Take an invitation back."""
    path = known_path("invitations", invitation, "inv")
    with open_api(profile) as api:
        output.show(api.delete(path), _INVITATION, as_json=as_json)
