"""The client's commands for policies: shown, set, tried out, imported from a file, and changes asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.client import output
from app.cli.client.naming import known_path, person_id_of, team_id_of
from app.cli.client.options import AsJson, Limit, Profile, Yes, agree, open_api
from app.cli.client.policy_files import guess_format, read_file, without_secrets
from app.cli.errors import Exit, UsageError

if TYPE_CHECKING:
    from app.cli.client.http import Api, Json

_POLICY = (("Of", "subject"), ("GPUs", "gpu_whitelist"), ("Instances", "max_instances"), ("GPUs at once", "max_gpus"),
           ("Price per hour", "max_price_per_hour"), ("Daily budget", "daily_budget"),
           ("Monthly budget", "monthly_budget"), ("When used up", "on_budget_exceeded"),
           ("Longest", "max_duration_seconds"), ("Regions", "allowed_regions"), ("Clouds", "allowed_providers"),
           ("Reliability", "min_reliability"), ("Time zone", "time_zone"), ("Paused until", "paused_until"),
           ("Paused because", "paused_because"), ("Running", "usage.instances"), ("Held", "usage.held"))  # fmt: skip
_VERDICT = (("Allowed", "allowed"), ("Reason", "reason"), ("Limit", "binding_limit.limit"),
            ("Of", "binding_limit.subject"), ("Is", "binding_limit.value"), ("Used", "binding_limit.used"),
            ("Until", "until"))  # fmt: skip
_CHANGES = (("WHOSE", "whose"), ("FIELD", "field"), ("NOW", "before"), ("THEN", "after"), ("LINE", "line"))
_REQUESTS = (("ID", "id"), ("STATE", "state"), ("ASKED BY", "asked_by"), ("ASKED", "asked_at"), ("CHANGES", "changes"),
             ("REASON", "reason"), ("NOTE", "note"))  # fmt: skip
_REQUEST = tuple((title.capitalize(), path) for title, path in _REQUESTS)

Team = Annotated[str | None, typer.Option(help="Of a team, by its name or id.")]
Person = Annotated[str | None, typer.Option(help="Of a person, by its mail address or id.")]
Key = Annotated[str | None, typer.Option(help="Of an API key, by its id.")]
TeamArg = Annotated[str, typer.Argument(metavar="TEAM", help="Its name, or its id.")]
RequestArg = Annotated[str, typer.Argument(metavar="REQUEST", help="Its id, chg_….")]
Note = Annotated[str | None, typer.Option(help="A word with the decision.")]
SETTING = typer.Argument(
    metavar="FIELD=VALUE…", help="Such as daily_budget=50 gpu_whitelist=rtx-4090,h100-80gb max_gpus=none."
)
Settings = Annotated[list[str], SETTING]

_LISTS = frozenset({"gpu_whitelist", "allowed_regions", "allowed_providers"})
_COUNTS = frozenset({"max_instances", "max_gpus", "max_duration_seconds"})
_NOTHING = frozenset({"", "none", "null"})

policy = typer.Typer(no_args_is_help=True, help="Policies and budgets: of the account, of teams, people and keys.")


@policy.command("show")
def show(
    *, team: Team = None, person: Person = None, key: Key = None, profile: Profile = None, as_json: AsJson = False
) -> None:
    """Show a policy and what is gone of it: the account's, unless another is named."""
    with open_api(profile) as api:
        output.show(api.get(f"{_path(api, team, person, key)}/policy"), _POLICY, as_json=as_json)


@policy.command("set")
def set_policy(
    settings: Settings,
    *,
    team: Team = None,
    person: Person = None,
    key: Key = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Change fields of a policy; what is not named stays, `none` takes a limit away."""
    changes = _changes(settings)
    with open_api(profile) as api:
        output.show(api.patch(f"{_path(api, team, person, key)}/policy", changes), _POLICY, as_json=as_json)


@policy.command("check")
def check(
    family: Annotated[str, typer.Argument(help="A GPU family, such as rtx-4090.")],
    *,
    team: Team = None,
    gpus: Annotated[int, typer.Option(min=1, max=16, help="How many in one machine.")] = 1,
    price: Annotated[str | None, typer.Option(help="Dollars an hour; else what is cheapest now.")] = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a rental would be allowed right now, and which limit says no (exit code 5)."""
    wish = {"family": family, "gpu_count": gpus} | ({"price_per_hour": price} if price else {})
    with open_api(profile) as api:
        verdict = api.post(f"{_path(api, team, None, None)}/policy/check", wish)
    output.show(verdict, _VERDICT, as_json=as_json)
    if not verdict["allowed"]:
        raise typer.Exit(Exit.POLICY)


@policy.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A team table (TOML, JSON, YAML, CSV) or a cloud.toml; - reads input.")],
    *,
    shape: Annotated[str | None, typer.Option("--format", help="team-table or cloud-toml; else guessed.")] = None,
    create_teams: Annotated[bool, typer.Option("--create-teams", help="Make teams that do not exist.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: Yes = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Turn a configuration file into policies: shows what would change, asks, and sets all of it or nothing."""
    text = read_file(file)
    body: dict[str, Any] = {"format": shape or guess_format(file, text), "text": without_secrets(text)}
    body["create_teams"] = create_teams
    with open_api(profile) as api:
        plan = api.post("/v1/policies/import", body)
        if dry_run or not any(one["changes"] for one in plan["policies"]):
            _show_plan(plan, as_json=as_json)
            return
        if not as_json:
            _show_plan(plan, as_json=False)
        if not yes:
            agree("These policies are set.", as_json=as_json, otherwise="Nothing was set.")
        seen = {one["subject"]: one["version"] for one in plan["policies"] if one["subject"] is not None}
        done = api.post("/v1/policies/import", body | {"dry_run": False, "versions": seen})
    if as_json:
        output.write_json(done)
    else:
        output.write_line(f"Set: {sum(bool(one['changes']) for one in done['policies'])} policies.")


@policy.command("ask")
def ask(
    team: TeamArg,
    settings: Settings,
    *,
    reason: Annotated[str, typer.Option(help="Why, for those who decide.")],
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Ask that a team's policy be changed; owners and admins decide."""
    changes = _changes(settings)
    with open_api(profile) as api:
        path = f"/v1/teams/{team_id_of(api, team)}/policy/requests"
        output.show(api.post(path, {"changes": changes, "reason": reason}), _REQUEST, as_json=as_json)


@policy.command("requests")
def requests(team: TeamArg, limit: Limit = 50, profile: Profile = None, as_json: AsJson = False) -> None:
    """Show what changes were asked for, and what became of them."""
    with open_api(profile) as api:
        rows = list(api.pages(f"/v1/teams/{team_id_of(api, team)}/policy/requests", limit=limit))
    output.show_list(rows, _REQUESTS, "Nothing was asked for.", as_json=as_json)


@policy.command("approve")
def approve(
    team: TeamArg, request: RequestArg, note: Note = None, profile: Profile = None, as_json: AsJson = False
) -> None:
    """Set what was asked for."""
    _decide("approve", team, request, note, profile=profile, as_json=as_json)


@policy.command("deny")
def deny(
    team: TeamArg, request: RequestArg, note: Note = None, profile: Profile = None, as_json: AsJson = False
) -> None:
    """Leave the policy as it is."""
    _decide("deny", team, request, note, profile=profile, as_json=as_json)


def _decide(verb: str, team: str, request: str, note: str | None, *, profile: str | None, as_json: bool) -> None:
    with open_api(profile) as api:
        collection = f"teams/{team_id_of(api, team)}/policy/requests"
        path = f"{known_path(collection, request, 'chg')}/{verb}"
        output.show(api.post(path, {} if note is None else {"note": note}), _REQUEST, as_json=as_json)


def _path(api: Api, team: str | None, person: str | None, key: str | None) -> str:
    if sum(named is not None for named in (team, person, key)) > 1:
        raise UsageError("Name one of --team, --person and --key; none is the account.")
    if team is not None:
        return f"/v1/teams/{team_id_of(api, team)}"
    if person is not None:
        return f"/v1/members/{person_id_of(api, person)}"
    return "/v1/account" if key is None else known_path("api-keys", key, "key")


def _changes(settings: list[str]) -> Json:
    changes: Json = {}
    for setting in settings:
        field, equals, value = setting.partition("=")
        name = field.strip().replace("-", "_")
        if not equals or not name:
            raise UsageError(f"{setting!r} is no FIELD=VALUE.")
        changes[name] = _value(name, value.strip())
    return changes


def _value(field: str, text: str) -> object:
    if text.lower() in _NOTHING:
        return None
    if field in _LISTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    if field in _COUNTS:
        try:
            return int(text)
        except ValueError:
            raise UsageError(f"{field} must be a whole number.") from None
    return text.removeprefix("$")


def _show_plan(plan: Json, *, as_json: bool) -> None:
    if as_json:
        output.write_json(plan)
        return
    rows = [{"whose": one["team"] or "the account", **change} for one in plan["policies"] for change in one["changes"]]
    output.write_table(rows, _CHANGES, empty="Nothing would change.")
    for told in plan["warnings"]:
        output.write_line(f"line {told['line']}: {told['message']}")
    if plan["launch_defaults"]:
        defaults = ", ".join(f"{name}={value}" for name, value in plan["launch_defaults"].items())
        output.write_line(f"For each launch rather than for a policy: {defaults}")
