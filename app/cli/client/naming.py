"""Teams and people as somebody types them: by id, by a team's name, by a person's address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.errors import CliError, Exit, UsageError

if TYPE_CHECKING:
    from app.cli.client.http import Api, Json

TeamArg = Annotated[str, typer.Argument(metavar="TEAM", help="Its name, or its id.")]
PersonArg = Annotated[str, typer.Argument(metavar="PERSON", help="Its mail address, or its id.")]
_ID = re.compile(r"[a-z]+_[0-9A-Za-z]{26}", re.ASCII)
_LOOKED_AT_MAX = 10_000


def team_id_of(api: Api, text: str) -> str:
    """Return the id of the team that is meant.

    Raises:
        CliError: no team has this name.
    """
    if _is_id(text, "team"):
        return text
    return _one(api, "/v1/teams", "name", text, f"There is no team {text!r}. See them with: hourglass teams list")


def person_id_of(api: Api, text: str) -> str:
    """Return the id of the person that is meant.

    Raises:
        CliError: nobody of the account has this address.
    """
    if _is_id(text, "usr"):
        return text
    told = f"Nobody in the account has the address {text!r}. See them with: hourglass members list"
    return _one(api, "/v1/members", "email", text, told)


def known_path(collection: str, text: str, prefix: str) -> str:
    """Return the path of something by its id; what is no id never reaches the URL.

    Raises:
        UsageError: it is no id of this kind.
    """
    if not _is_id(text, prefix):
        raise UsageError(f"{text!r} is no id of this kind. They begin with {prefix}_.")
    return f"/v1/{collection}/{text}"


def _is_id(text: str, prefix: str) -> bool:
    return bool(_ID.fullmatch(text)) and text.partition("_")[0] == prefix


def _one(api: Api, path: str, field: str, text: str, missing: str) -> str:
    found: list[Json] = [
        item for item in api.pages(path, limit=_LOOKED_AT_MAX) if str(item[field]).lower() == text.lower()
    ]
    exact = [item for item in found if item[field] == text] or found
    if len(exact) > 1:
        raise UsageError(f"{text!r} is meant by several. Name one by its id: {', '.join(item['id'] for item in exact)}")
    if not exact:
        raise CliError(missing, exit_code=Exit.NOT_FOUND)
    return str(exact[0]["id"])
