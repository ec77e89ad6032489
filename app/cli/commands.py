"""All commands in one place. What a command needs is imported when it is called."""

from __future__ import annotations

import json
import sys

import typer

from app.cli.audit_commands import add_audit_commands
from app.cli.client.audit import audit
from app.cli.client.commands import add_client_commands
from app.cli.client.keys import keys
from app.cli.client.members import members
from app.cli.client.paying import add_money_commands
from app.cli.client.policy import policy
from app.cli.client.prices import prices
from app.cli.client.reporting import report
from app.cli.client.teams import teams
from app.cli.client.webhooks import webhooks
from app.cli.curating import add_catalog_commands
from app.cli.errors import CliError, Exit
from app.cli.operating import add_operator_commands, admin

app = typer.Typer(
    name="hourglass",
    help="GPUs rented by the second, prepaid.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
add_operator_commands(app)
add_client_commands(app)
add_money_commands(app)
add_catalog_commands(admin)
add_audit_commands(admin)
app.add_typer(audit, name="audit")
app.add_typer(keys, name="keys")
app.add_typer(members, name="members")
app.add_typer(policy, name="policy")
app.add_typer(prices, name="prices")
app.add_typer(report, name="report")
app.add_typer(teams, name="teams")
app.add_typer(webhooks, name="webhooks")


def main() -> None:
    """Run the command line; the exit code says what kind of end it was."""
    try:
        app(prog_name="hourglass")
    except CliError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except Exception as error:
        if (told := _known(error)) is None:
            raise
        _tell(told)
        sys.exit(told.exit_code)


def _known(error: Exception) -> CliError | None:
    """Return errors of the rooms below as the command line's."""
    from app.kit.private_files import ExposedFileError
    from app.settings import SettingsError

    if isinstance(error, SettingsError):
        return CliError(str(error), exit_code=Exit.USAGE)
    return CliError(str(error)) if isinstance(error, ExposedFileError) else None


def _tell(error: CliError) -> None:
    if "--json" in sys.argv and error.problem:
        sys.stderr.write(json.dumps(error.problem) + "\n")
        return
    sys.stderr.write(f"hourglass: {error}\n")
    if suggestion := error.problem.get("suggestion"):
        sys.stderr.write(f"{suggestion}\n")
    if request_id := error.problem.get("request_id"):
        sys.stderr.write(f"({error.problem.get('code')}, {request_id})\n")
