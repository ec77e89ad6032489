"""The operator's commands about costs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from app.cli.errors import CliError

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]
Since = Annotated[str, typer.Option("--from", metavar="DAY", help="The first day, in UTC; today without.")]
Until = Annotated[str, typer.Option("--to", metavar="DAY", help="The last day; today without.")]


def add_cost_commands(admin: typer.Typer) -> None:
    """Add them to the operator's commands."""
    admin.command("costs")(costs)
    admin.command("margin")(margin)
    admin.command("reconcile-costs")(reconcile_costs)


def costs(since: Since = "", until: Until = "", as_json: AsJson = False) -> None:
    """Say what the machines cost that ended on these days, by cloud: from its books, or estimated where it has none."""
    from app.cli import costing
    from app.settings import read_settings

    _print(asyncio.run(costing.sum_costs(read_settings(), since=since, until=until)), as_json=as_json)


def margin(
    since: Since = "",
    until: Until = "",
    by: Annotated[str, typer.Option(help="rental, account, family, provider or everything.")] = "rental",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many at most, the worst first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Say what is left of the rentals that ended on these days: charged, less given back, less what machines cost."""
    from app.cli import costing
    from app.settings import read_settings

    told = asyncio.run(costing.list_margins(read_settings(), since=since, until=until, by=by, limit=limit))
    _print(told, as_json=as_json)


def reconcile_costs(
    day: Annotated[str, typer.Argument(help="A day (2026-03-01), in UTC; yesterday without.")] = "",
    provider: Annotated[str | None, typer.Option(help="One cloud; every one that is set up without.")] = None,
    as_json: AsJson = False,
) -> None:
    """Lay a day beside the clouds' own books. Ends with 1 when they differ."""
    from app.cli import costing
    from app.settings import read_settings

    report = asyncio.run(costing.reconcile_costs(read_settings(), day=day, provider=provider))
    _print(report, as_json=as_json)
    if not report["ok"]:
        raise CliError("The books differ.")


def _print(told: Mapping[str, Any], *, as_json: bool) -> None:
    sys.stdout.write(json.dumps(told, indent=None if as_json else 2) + "\n")
