"""The states of a rental: the whole table of allowed moves, and the one function that makes them.

    provisioning ─► running ─► stopping ─► stopped
         │  │          │                      ▲
         │  └──────────┼──────► stopping ─────┘      a stop may come at any time
         └─► failed ◄──┘                             no capacity, or the host was lost

Stages within provisioning: matching ► creating ► booting ► checking; within stopping: terminating ► verifying.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.events import Event, record
from app.kit.ids import AccountId
from app.rentals.models import RentalRow


class Status(StrEnum):
    """Where a rental stands."""

    PROVISIONING = "provisioning"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Stage(StrEnum):
    """What is being done within a status."""

    MATCHING = "matching"
    CREATING = "creating"
    BOOTING = "booting"
    CHECKING = "checking"
    TERMINATING = "terminating"
    VERIFYING = "verifying"


MOVES: Final[Mapping[Status, frozenset[Status]]] = {
    Status.PROVISIONING: frozenset({Status.RUNNING, Status.STOPPING, Status.STOPPED, Status.FAILED}),
    Status.RUNNING: frozenset({Status.STOPPING, Status.FAILED}),
    Status.STOPPING: frozenset({Status.STOPPED}),
    Status.STOPPED: frozenset(),
    Status.FAILED: frozenset(),
}

TERMINAL: Final = frozenset({Status.STOPPED, Status.FAILED})

ACTIONS: Final[Mapping[Status, tuple[str, ...]]] = {
    Status.PROVISIONING: ("stop",),
    Status.RUNNING: ("stop", "extend", "report"),
    Status.STOPPING: (),
    Status.STOPPED: (),
    Status.FAILED: (),
}
"""What a caller may do in each status."""


class IllegalMoveError(Exception):
    """A mistake of ours: the table of moves does not allow this one."""


async def move(
    session: AsyncSession,
    rental: RentalRow,
    to: Status,
    *,
    at: datetime,
    stage: Stage | None = None,
    actor: str = "system",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Change a rental's status or stage and write the event in the same breath. The caller holds the row's lock.

    Raises:
        IllegalMoveError: the move is not in the table.
    """
    came_from = Status(rental.status)
    if to is not came_from and to not in MOVES[came_from]:
        raise IllegalMoveError(f"{came_from} → {to}")
    if to is came_from and stage == rental.stage:
        return
    rental.status, rental.stage = to, stage
    rental.version += 1
    told = f"rental.{to}" if to is not came_from else f"rental.{stage}"
    await record(session, Event(AccountId(rental.account_id), rental.id, told, at, actor=actor, data=dict(data or {})))
