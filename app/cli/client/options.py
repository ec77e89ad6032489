"""What every command of the client takes, and the API it then talks to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.errors import CliError, Exit, UsageError

if TYPE_CHECKING:
    from app.cli.client.http import Api

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]
Profile = Annotated[str | None, typer.Option(help="Which API and key; kept by `hourglass login`.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")]


def agree(question: str, *, as_json: bool, otherwise: str) -> None:
    """Go on only when a person at the terminal agrees.

    Raises:
        UsageError: nobody can be asked.
        CliError: the person said no; ``otherwise`` says what that means.
    """
    if as_json or not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody can be asked here: say --yes.")
    if not typer.confirm(f"{question} Go on?"):
        raise CliError(otherwise, exit_code=Exit.OK)


def open_api(profile: str | None) -> Api:
    """Return the API of a profile."""
    from app.cli.client.http import Api
    from app.cli.client.profiles import find_access

    return Api(find_access(profile))
