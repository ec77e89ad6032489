"""The client's commands for the audit: read it, keep it, and verify what was kept without trusting the service."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.client import output
from app.cli.client.options import AsJson, Limit, Profile, open_api
from app.cli.errors import CliError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.cli.client.http import Api

_ENTRIES = (("SEQ", "seq"), ("AT", "at"), ("ACTOR", "actor"), ("ACTION", "action"), ("TARGET", "target"),
            ("TEAM", "team_id"), ("ADDRESS", "address"))  # fmt: skip
_FOUND = (("Whole", "ok"), ("Entries", "seq"), ("Hash", "hash"), ("First bad entry", "first_bad_seq"),
          ("Trouble", "trouble"), ("Last looked at by the service", "checked_at"))  # fmt: skip

Actor = Annotated[str | None, typer.Option(help="A key's or a person's id, operator or system.")]
Action = Annotated[str | None, typer.Option(help="Such as rental.created, or all of rental.")]
Target = Annotated[str | None, typer.Option(help="The id of what was acted on.")]
Team = Annotated[str | None, typer.Option(help="A team's id.")]
Since = Annotated[str | None, typer.Option(help="RFC 3339, such as 2026-03-01T00:00:00Z.")]

audit = typer.Typer(invoke_without_command=True, help="Who changed what in the account.")


@audit.callback()
def show(
    context: typer.Context,
    *,
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    team: Team = None,
    since: Since = None,
    until: Since = None,
    limit: Limit = 50,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, newest first."""
    if context.invoked_subcommand is not None:
        return
    query = {"actor": actor, "action": action, "target": target, "team_id": team, "since": since, "until": until}
    with open_api(profile) as api:
        entries = list(api.pages("/v1/audit", query, limit=limit))
    output.show_list(entries, _ENTRIES, "Nothing was changed yet.", as_json=as_json)


@audit.command("export")
def export(
    file: Annotated[Path | None, typer.Argument(dir_okay=False, help="Where to; to the terminal without.")] = None,
    *,
    flat: Annotated[bool, typer.Option("--flat", help="Timestamp, team, action and the details side by side.")] = False,
    since: Since = None,
    until: Since = None,
    profile: Profile = None,
) -> None:
    """Write every entry as a line of JSON, oldest first."""
    query = {"form": "flat" if flat else "full", "since": since, "until": until}
    with open_api(profile) as api:
        lines = api.lines("/v1/audit/export", query)
        if file is None:
            sys.stdout.writelines(lines)
            return
        with file.open("w", encoding="utf-8") as written:
            written.writelines(lines)


@audit.command("verify")
def verify(
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="A full export, verified here and by nobody else."),
    ] = None,
    *,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the chain: the service's own, or an export's. Ends with 1 when something is amiss."""
    if file is None:
        with open_api(profile) as api:
            found = _ask(api)
    else:
        with file.open(encoding="utf-8") as lines:
            found = _walk(lines)
    output.show(found, _FOUND, as_json=as_json)
    if not found["ok"]:
        raise CliError("The audit is not what was written.")


def _ask(api: Api) -> dict[str, Any]:
    found = api.get("/v1/audit/verify")
    while found["ok"] and not found["complete"]:
        found = api.get("/v1/audit/verify", {"after_seq": found["seq"], "hash": found["hash"]})
    return found


def _walk(lines: Iterable[str]) -> dict[str, Any]:
    from app.audit.rendering import canonical_of
    from app.audit.verifying import ChainBrokenError, Walk, beginning

    walk: Walk | None = None
    found: dict[str, Any] = {"ok": True, "first_bad_seq": None, "trouble": None, "checked_at": None}
    try:
        for line in lines:
            entry = json.loads(line)
            walk = walk or Walk(beginning(entry["account_id"]))
            walk.take(entry["seq"], canonical_of(entry), bytes.fromhex(entry["hash"]))
    except ChainBrokenError as broken:
        found |= {"ok": False, "first_bad_seq": broken.seq, "trouble": broken.trouble}
    except (ValueError, KeyError, TypeError):
        raise UsageError("This is no full export of the audit.") from None
    place = walk.place if walk else None
    return found | {"seq": place.seq if place else 0, "hash": place.hash.hex() if place else None}
