"""The states of a rental: the whole table of allowed moves, and the one function that makes them.

    queued ◄► provisioning ─► running ─► stopping ─► stopped
                  │ ▲ ▲         │ │
                  │ │ └── interrupted            the machine was taken back: not billed, another is looked for
                  │ └── hibernated ◄── hibernating     off, its disk kept; resuming is provisioning again
                  └─► failed ◄──┘                no capacity, or the host was lost

A stop may come at any time: ``stopping`` while a machine is to be seen gone, else ``stopped`` at once. Stages within
provisioning: matching ► creating ► booting ► checking, or resuming; within interrupted: checkpointing ► matching;
within stopping: terminating ► verifying.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, policies
from app.events import Event, record
from app.kit.ids import AccountId, RentalId
from app.rentals.models import RentalRow


class Status(StrEnum):
    """Where a rental stands."""

    QUEUED = "queued"
    """Waits for something to rent; an hour is held."""
    PROVISIONING = "provisioning"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    """The machine was taken back; nothing is billed, the hold is kept, another machine is looked for."""
    HIBERNATING = "hibernating"
    HIBERNATED = "hibernated"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Stage(StrEnum):
    """What is being done within a status."""

    MATCHING = "matching"
    CREATING = "creating"
    BOOTING = "booting"
    CHECKING = "checking"
    RESUMING = "resuming"
    """The machine that hibernated is being woken."""
    CHECKPOINTING = "checkpointing"
    """The machine is about to be taken back, and the customer's script saves what it can."""
    TERMINATING = "terminating"
    VERIFYING = "verifying"


MOVES: Final[Mapping[Status, frozenset[Status]]] = {
    Status.QUEUED: frozenset({Status.PROVISIONING, Status.STOPPED, Status.FAILED}),
    Status.PROVISIONING: frozenset({Status.QUEUED, Status.RUNNING, Status.STOPPING, Status.STOPPED, Status.FAILED}),
    Status.RUNNING: frozenset({Status.INTERRUPTED, Status.HIBERNATING, Status.STOPPING, Status.FAILED}),
    Status.INTERRUPTED: frozenset({Status.PROVISIONING, Status.STOPPING, Status.STOPPED, Status.FAILED}),
    Status.HIBERNATING: frozenset({Status.HIBERNATED, Status.RUNNING, Status.STOPPING, Status.FAILED}),
    Status.HIBERNATED: frozenset({Status.PROVISIONING, Status.STOPPING, Status.FAILED}),
    Status.STOPPING: frozenset({Status.STOPPED}),
    Status.STOPPED: frozenset(),
    Status.FAILED: frozenset(),
}

TERMINAL: Final = frozenset({Status.STOPPED, Status.FAILED})

PLACED: Final = frozenset({Status.PROVISIONING, Status.INTERRUPTED})
"""Statuses in which placement looks for a machine."""

ACTIONS: Final[Mapping[Status, tuple[str, ...]]] = {
    Status.QUEUED: ("stop",),
    Status.PROVISIONING: ("stop",),
    Status.RUNNING: ("stop", "extend", "report"),
    Status.INTERRUPTED: ("stop",),
    Status.HIBERNATING: ("stop",),
    Status.HIBERNATED: ("resume", "stop"),
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

    Another status is told in the account's audit too. A rental that is over counts no more against any cap.

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
    if to in TERMINAL and to is not came_from:
        account_id, rental_id = AccountId(rental.account_id), RentalId(rental.id)
        await policies.end(session, account_id=account_id, rental_id=rental_id, at=at)
    if to is not came_from:
        await _audit(session, rental, came_from, at=at, actor=actor, data=data or {})
    told = f"rental.{to}" if to is not came_from else f"rental.{stage}"
    await record(session, Event(AccountId(rental.account_id), rental.id, told, at, actor=actor, data=dict(data or {})))


async def _audit(
    session: AsyncSession, rental: RentalRow, came_from: Status, *, at: datetime, actor: str, data: Mapping[str, Any]
) -> None:
    entry = audit.Entry(
        rental.account_id,
        f"rental.{rental.status}",
        rental.id,
        at,
        actor=actor,
        team_id=rental.team_id,
        details={**data, "before": {"status": came_from}, "after": {"status": rental.status}},
    )
    await audit.write(session, entry)
