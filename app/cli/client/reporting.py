"""The client's commands for reports: what was spent by whom on what, what it will come to, and what of it was idle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli.client import output
from app.cli.client.options import AsJson, Profile, open_api
from app.cli.errors import UsageError

_PARTS = (("TEAM", "team"), ("RENTALS", "rentals"), ("SECONDS", "seconds"), ("CHARGED", "charged"),
          ("REFUNDED", "refunded"), ("NET", "net"))  # fmt: skip
_MONTH = (("Month", "month"), ("Final", "final"), ("Coverage", "coverage"), ("Net", "total.net"))
_FORECAST = (("Month", "month"), ("Spent", "pace.spent"), ("Burn per hour", "pace.burn_per_hour"),
             ("Expected", "projection.expected"), ("If all runs on", "projection.if_all_runs_on"),
             ("If as lately", "projection.if_as_lately"))  # fmt: skip
_TEAMS = (("TEAM", "team"), ("SPENT", "pace.spent"), ("BURN $/H", "pace.burn_per_hour"),
          ("EXPECTED", "projection.expected"))  # fmt: skip
_IDLE = (("RENTAL", "rental_id"), ("NAME", "name"), ("FAMILY", "family"), ("GPU", "gpu"), ("WATCHED S", "watched_seconds"),
         ("IDLE S", "idle_seconds"), ("MEAN %", "mean_percent"), ("IDLE COST", "idle_cost"))  # fmt: skip

Since = Annotated[str | None, typer.Option(metavar="DAY", help="The first day of UTC, such as 2026-03-01.")]
Until = Annotated[str | None, typer.Option(metavar="DAY", help="The first day that is not in it any more.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", dir_okay=False, help="Where to; the terminal without.")]

report = typer.Typer(no_args_is_help=True, help="What was spent, what it will come to, and what of it was idle.")


@report.command("spend")
def spend(
    *,
    by: Annotated[str, typer.Option(help="team, user, key, family, provider, day, or tag:NAME.")] = "team",
    since: Since = None,
    until: Until = None,
    csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets.")] = False,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show what was spent, dearest first; this month without days."""
    query = {"group_by": by, "since": since, "until": until}
    with open_api(profile) as api:
        if as_json:
            output.write_json(api.get("/v1/reports/spend", query))
            return
        told = api.download("/v1/reports/spend", query | {"format": "csv" if csv else "text"}).decode()
        sys.stdout.write(told if csv else "".join(f"{output.text_of(line)}\n" for line in told.splitlines()))


@report.command("chargeback")
def chargeback(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="Such as 2026-03.")],
    *,
    form: Annotated[Literal["csv", "pdf"] | None, typer.Option("--format", help="A table to read without.")] = None,
    to: Output = None,
    profile: Profile = None,
    as_json: AsJson = False,
) -> None:
    """Show each team's part of a month, or write it as a file."""
    path = f"/v1/reports/chargeback/{month}"
    with open_api(profile) as api:
        if form is None:
            told = api.get(path)
            output.show(told, _MONTH, as_json=as_json)
            if not as_json:
                output.write_table(told["teams"], _PARTS, empty="Nothing was charged.")
            return
        if form == "pdf" and to is None and sys.stdout.isatty():
            raise UsageError("A PDF is nothing to read here: say --output FILE.")
        body = api.download(path, {"format": form})
    if to is None:
        sys.stdout.buffer.write(body)
    else:
        to.write_bytes(body)


@report.command("forecast")
def forecast(profile: Profile = None, as_json: AsJson = False) -> None:
    """Show what this month will have come to, and why."""
    with open_api(profile) as api:
        told = api.get("/v1/reports/forecast")
    output.show(told, _FORECAST, as_json=as_json)
    if not as_json:
        output.write_table(told["teams"], _TEAMS, empty="Nothing was spent.")
        output.write_line("\n".join(told["explanation"]))


@report.command("idle")
def idle(*, since: Since = None, until: Until = None, profile: Profile = None, as_json: AsJson = False) -> None:
    """Show which GPUs did nothing while they were paid for; this month without days."""
    with open_api(profile) as api:
        told = api.get("/v1/reports/idle", {"since": since, "until": until})
    if as_json:
        output.write_json(told)
        return
    rows = [
        rental | gpu | {"idle_cost": None if place else rental["idle_cost"]}  # the rental's, told once
        for rental in told["rentals"]
        for place, gpu in enumerate(rental["gpus"])
    ]
    output.write_table(rows, _IDLE, empty="No GPU was watched.")
    output.write_line(f"Idle: {told['idle_gpu_seconds']} GPU seconds, ${told['idle_cost']} (estimated)")
