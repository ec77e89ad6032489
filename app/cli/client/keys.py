"""The client's commands for API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from app.cli.client import output
from app.cli.client.asking import seconds_of
from app.cli.client.naming import known_path, team_id_of
from app.cli.client.options import AsJson, Limit, Profile, Yes, agree, open_api
from app.cli.errors import UsageError

_KEYS = (("NAME", "name"), ("ID", "id"), ("KEY", "prefix"), ("MODE", "mode"), ("TEAM", "team_id"), ("LIMIT $", "limit.amount"),
         ("EVERY", "limit.reset"), ("LAST USED", "last_used_at"), ("EXPIRES", "expires_at"),
         ("REVOKED", "revoked_at"))  # fmt: skip
_KEY = (("Name", "name"), ("Id", "id"), ("Secret", "secret"), ("Mode", "mode"), ("Scopes", "scopes"), ("Team", "team_id"),
        ("Limit", "limit.amount"), ("Every", "limit.reset"), ("Addresses", "allowed_ips"), ("Made by", "created_by"),
        ("Created", "created_at"), ("Expires", "expires_at"), ("Revoked", "revoked_at"), ("Successor", "rotated_to"),
        ("Last used", "last_used_at"))  # fmt: skip
KeyArg = Annotated[str, typer.Argument(metavar="KEY", help="Its id, key_…")]
LimitOption = Annotated[str | None, typer.Option(metavar="DOLLARS", help="What it may spend.")]
ResetOption = Annotated[
    str | None, typer.Option(metavar="PERIOD", help="When the limit begins anew: daily, weekly or monthly.")
]
Addresses = Annotated[list[str] | None, typer.Option("--from", help="Address or network it opens from; repeatable.")]
TeamOption = Annotated[str | None, typer.Option(help="The team it belongs to, by name or id.")]

keys = typer.Typer(no_args_is_help=True, help="API keys: made, limited, rotated, revoked.")


@keys.command("list")
def list_keys(team: TeamOption = None, limit: Limit = 50, profile: Profile = None, as_json: AsJson = False) -> None:
    """Show the keys that yours sees, newest first."""
    with open_api(profile) as api:
        query = {"team_id": team_id_of(api, team) if team else None}
        rows = list(api.pages("/v1/api-keys", query, limit=limit))
    output.show_list(rows, _KEYS, "There are no keys.", as_json=as_json)


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="1 to 64 characters.")],
    *,
    scope: Annotated[list[str], typer.Option(help="Such as rentals:write; repeatable.")],
    team: TeamOption = None,
    limit: LimitOption = None,
    reset: ResetOption = None,
    allowed_from: Addresses = None,
    expires_in: Annotated[str | None, typer.Option(help="Such as 12h or 90d.")] = None,
    test: Annotated[bool, typer.Option("--test", help="A test key.")] = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. Its secret is shown this once."""
    terms: dict[str, Any] = {"name": name, "scopes": scope, "mode": "test" if test else "live"}
    terms |= {"allowed_ips": allowed_from} if allowed_from else {}
    terms |= {"expires_at": _moment_in(expires_in)} if expires_in else {}
    terms |= {"limit": _limit(limit, reset)} if limit or reset else {}
    with open_api(profile) as api:
        terms |= {"team_id": team_id_of(api, team)} if team else {}
        output.show(api.post("/v1/api-keys", terms), _KEY, as_json=as_json)


@keys.command("show")
def show(key: KeyArg, profile: Profile = None, as_json: AsJson = False) -> None:
    """Show one key, without its secret."""
    path = known_path("api-keys", key, "key")
    with open_api(profile) as api:
        output.show(api.get(path), _KEY, as_json=as_json)


@keys.command("update")
def update(
    key: KeyArg,
    *,
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    team: TeamOption = None,
    limit: LimitOption = None,
    reset: ResetOption = None,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Without a limit.")] = False,
    allowed_from: Addresses = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Change a key's name, team, limit or addresses."""
    if unlimited and (limit or reset):
        raise UsageError("Say either --limit or --unlimited.")
    path = known_path("api-keys", key, "key")
    changes: dict[str, Any] = {"name": name} if name else {}
    changes |= {"allowed_ips": allowed_from} if allowed_from else {}
    changes |= {"limit": None if unlimited else _limit(limit, reset)} if limit or reset or unlimited else {}
    with open_api(profile) as api:
        changes |= {"team_id": team_id_of(api, team)} if team else {}
        output.show(api.patch(path, changes), _KEY, as_json=as_json)


@keys.command("rotate")
def rotate(
    key: KeyArg,
    *,
    overlap: Annotated[str, typer.Option(help="How long the old key stays in force, such as 0s or 1d.")] = "1d",
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Make a successor with the same terms. Its secret is shown this once."""
    path = known_path("api-keys", key, "key")
    with open_api(profile) as api:
        made = api.post(f"{path}/rotate", {"overlap_seconds": seconds_of(overlap)})
    output.show(made, _KEY, as_json=as_json)


@keys.command("revoke")
def revoke(key: KeyArg, yes: Yes = False, profile: Profile = None, as_json: AsJson = False) -> None:
    """Revoke a key, at once and for good."""
    path = known_path("api-keys", key, "key")
    if not yes:
        agree(f"{key} is revoked for good.", as_json=as_json, otherwise="It stays in force.")
    with open_api(profile) as api:
        output.show(api.delete(path), _KEY, as_json=as_json)


def _limit(amount: str | None, reset: str | None) -> dict[str, str]:
    if amount is None:
        raise UsageError("--reset says when a limit begins anew: say --limit too.")
    return {"amount": amount, **({"reset": reset} if reset else {})}


def _moment_in(length: str) -> str:
    from app.kit.clock import SystemClock, rfc3339

    return rfc3339(SystemClock().now() + timedelta(seconds=seconds_of(length) or 0))
