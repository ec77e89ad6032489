"""Who acts in a transaction, and by which request: put there by the edge, read by the audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession

_KEY = "hourglass.origin"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an act comes from."""

    actor: str
    """A key's or a person's id, or ``operator``."""
    user_id: str | None = None
    """The person behind the actor, where one is known."""
    request_id: str | None = None
    address: str | None = None
    team_id: str | None = None
    """The team whose key acts."""


def act_as(session: AsyncSession, origin: Origin) -> None:
    """Say who acts in this transaction, once, at its beginning."""
    session.info[_KEY] = origin


def find_origin(session: AsyncSession) -> Origin | None:
    """Return who acts in this transaction; None for what the service does by itself."""
    return cast("Origin | None", session.info.get(_KEY))
