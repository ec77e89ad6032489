"""Who acts, and by which request: said once by the edge or a command, read by whatever writes an audit.

It stands in a context variable, so that every transaction of a request has it, also one that an endpoint opens itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


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


_ORIGIN: Final[ContextVar[Origin | None]] = ContextVar("origin", default=None)


@contextmanager
def acting(origin: Origin | None) -> Iterator[None]:
    """Let everything within be done by somebody, or by the service itself; and then as before, whoever else was named."""
    token = _ORIGIN.set(origin)
    try:
        yield
    finally:
        _ORIGIN.reset(token)


def act_as(origin: Origin) -> None:
    """Say who acts from here on, until the end of the ``acting`` around it."""
    _ORIGIN.set(origin)


def find_origin() -> Origin | None:
    """Return who acts; None for what the service does by itself."""
    return _ORIGIN.get()
