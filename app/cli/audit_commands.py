"""The operator's command about the audit."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated

import typer

from app.cli.errors import CliError, UsageError

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]

audit = typer.Typer(no_args_is_help=True, help="Who changed what: append-only, and chained.")


def add_audit_commands(admin: typer.Typer) -> None:
    """Add them to the operator's commands."""
    admin.add_typer(audit, name="audit")


@audit.callback()
def _several() -> None:
    """Leave room for more than one command."""


@audit.command("verify")
def verify(
    account: Annotated[str | None, typer.Option(help="One account; all of them without.")] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute every chain, and look for rentals that the audit tells nothing of. Ends with 1 when something is amiss."""
    from app.cli import auditing
    from app.kit.ids import AccountId
    from app.settings import read_settings

    try:
        known = None if account is None else AccountId.parse(account)
    except ValueError as error:
        raise UsageError(f"{account} is no account id: it {error}.") from None
    told = asyncio.run(auditing.verify(read_settings(), account=known))
    sys.stdout.write(json.dumps(told, indent=None if as_json else 2) + "\n")
    if not told["ok"]:
        raise CliError("The audit was tampered with, or leaves something out.")
