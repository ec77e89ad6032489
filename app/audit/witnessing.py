"""The witness: what a request changed and no room told is told here, less precisely, so that no act goes untold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.entries import Entry
from app.audit.writing import write, written
from app.web.acts import Act
from app.web.origin import find_origin

_IRREGULAR: Final = {"set": "set", "put": "put", "stop": "stopped", "leave": "left", "send": "sent"}


async def witness(session: AsyncSession, act: Act) -> None:
    """Write an entry for a request that has none of its own: its operation, what it was about, what its body named.

    What somebody else did within the request, such as the service by itself, is no entry of the request's own.
    """
    origin = find_origin()
    if any(entry.actor is None or (origin and entry.actor == origin.actor) for entry in written(session)):
        return
    target = next(iter(act.ids.values()), None) or act.made or act.account_id
    await write(session, Entry(act.account_id, action_of(act.operation), target, act.at, details=_details(act)))


def action_of(operation: str) -> str:
    """Return what an operation does, as the audit tells it: ``create_ssh_key`` is ``ssh_key.created``."""
    verb, _, noun = operation.partition("_")
    told = _IRREGULAR.get(verb) or verb + ("d" if verb.endswith("e") else "ed")
    return f"{noun or 'account'}.{told}"


def _details(act: Act) -> dict[str, Any]:
    others = dict(list(act.ids.items())[1:])
    if isinstance(act.document, Mapping):
        return {**others, "after": act.document}
    return others
