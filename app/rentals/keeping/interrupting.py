"""Interruptions: a machine is taken back by its cloud, or lost where that is to be expected; the rental lives on.

    running ─► interrupted[checkpointing]   the cloud gave notice: the customer's script saves what it can
            └► interrupted[matching]        the machine is lost, or the script is through: another is looked for

Nothing is billed from the notice on, or without one since the machine last answered. The hold stays, the machine is
destroyed: one that is merely stopped still costs its disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from app import catalog, wallet
from app.events import Event, record
from app.kit.clock import rfc3339
from app.kit.ids import AccountId, RentalId
from app.kit.reconcile import Round
from app.machines import Checkpoint, ShellError, save_checkpoint
from app.providers import Capability, Machine, MachineStatus
from app.rentals import finding, queries
from app.rentals.asking.launching import RECOVERY_SECONDS
from app.rentals.asking.requesting import environment
from app.rentals.fencing import held_attempt
from app.rentals.keeping.live import Live, held_live, last_pulse
from app.rentals.keeping.stopping import stop
from app.rentals.models import AttemptRow, LogRow, RentalRow
from app.rentals.placing.booting import connection_of
from app.rentals.placing.giving_up import doom
from app.rentals.placing.placement import Item
from app.rentals.runs import end_run
from app.rentals.states import Stage, Status, move
from app.rentals.tools import Tools

Because = Literal["notice", "preempted", "stopped", "deleted", "failed", "gone", "unreachable"]

_TOLD: Final[Mapping[MachineStatus, Because]] = MappingProxyType(
    {
        MachineStatus.PREEMPTED: "preempted",
        MachineStatus.STOPPING: "stopped",
        MachineStatus.STOPPED: "stopped",
        MachineStatus.HIBERNATED: "stopped",
        MachineStatus.DELETING: "deleted",
        MachineStatus.GONE: "gone",
        MachineStatus.FAILED: "failed",
    }
)
_SHELL_SECONDS = 10
_SLACK_SECONDS = 60
"""A notice is taken up so long before the script would have to start: the cloud is asked every half a minute."""
_LAST_SECONDS = 2
"""What is kept between the end of the script and the end of the machine."""


def told(machine: Machine) -> Because | None:
    """Return what a cloud says of the loss of a machine; None where it says nothing of the kind."""
    return _TOLD.get(machine.status)


def may_be_interrupted(one: Live, capability: Capability) -> bool:
    """Return whether the loss of this machine is an interruption: spot, or a cloud that ends machines by the clock."""
    return one.spot or capability.interruption == "timeout"


def notice_of(machine: Machine, one: Live, capability: Capability, *, at: datetime) -> datetime | None:
    """Return when a machine is taken back, once it is time to act on that."""
    ends = [machine.preempts_at] if machine.preempts_at is not None else []
    if capability.machine_seconds_max is not None and one.rented_at is not None:
        ends.append(one.rented_at + timedelta(seconds=capability.machine_seconds_max))
    end = min(ends, default=None)
    return end if end is not None and end <= at + timedelta(seconds=one.script_seconds + _SLACK_SECONDS) else None


async def interrupt(
    tools: Tools, this: Round, one: Live, because: Because, *, preempts_at: datetime | None = None
) -> str:
    """Take a running rental off a machine that is lost, or with ``preempts_at`` is about to be."""
    at = tools.clock.now()
    async with tools.db.begin_unscoped() as session:
        held = await held_live(session, this, one)
        if held is None:
            return "moved_on"
        rental, attempt = held
        overdue = rental.stop_at is not None and rental.stop_at <= at
        end = min(at if preempts_at is not None else last_pulse(rental, one, at=at), rental.stop_at or at)
        await _stop_the_meter(session, rental, end=end, at=at)
        await _keep_away(session, tools, attempt, at=at)
        attempt.preempts_at = preempts_at
        saves = preempts_at is not None and not overdue and rental.launch.get("on_interrupt") is not None
        if not saves:
            doom(attempt, at=at, reason="interrupted", message=f"Interrupted: {because}.", nothing_there=False)
        _look_elsewhere(rental, at=at)
        stage = Stage.CHECKPOINTING if saves else Stage.MATCHING
        data = {"attempt": attempt.number, "because": because, "billed_until": rfc3339(end)}
        await move(session, rental, Status.INTERRUPTED, stage=stage, at=at, data=data)
        if overdue:
            await session.flush()
            account_id, rental_id = AccountId(rental.account_id), RentalId(rental.id)
            await stop(
                session, account_id=account_id, rental_id=rental_id, reason="max_duration", actor="system", at=at
            )
    return "interrupted"


async def find(tools: Tools, this: Round, limit: int) -> list[Item]:
    """Return rentals whose machine is about to be taken back."""
    async with tools.db.begin_unscoped() as session:
        found = await finding.find_checkpointing(session, at=this.at, buckets=this.holding.buckets, limit=limit)
    return [Item(*row) for row in found]


async def step(tools: Tools, this: Round, item: Item) -> str:
    """Let the customer's script run on a machine for as long as there is, then leave the machine."""
    async with tools.db.begin_unscoped() as session:
        rental = await queries.find_rental(session, account_id=item.account_id, rental_id=item.rental_id)
        attempt = await queries.find_alive(session, account_id=item.account_id, rental_id=item.rental_id)
    if rental is None or attempt is None or rental.stage != Stage.CHECKPOINTING:
        return "moved_on"
    return await _leave(tools, this, rental, attempt, await _save(tools, rental, attempt))


async def _stop_the_meter(session: AsyncSession, rental: RentalRow, *, end: datetime, at: datetime) -> None:
    account_id, rental_id = AccountId(rental.account_id), RentalId(rental.id)
    await wallet.pause(session, account_id=account_id, rental_id=rental_id, at=at, billable_until=end)
    await end_run(session, rental, end=end, at=at, because="interrupted")
    rental.interruptions += 1
    rental.interrupted_at, rental.stop_at = at, None


async def _keep_away(session: AsyncSession, tools: Tools, attempt: AttemptRow, *, at: datetime) -> None:
    """Nobody is sent after an offer that was just taken back."""
    until = at + timedelta(seconds=tools.limits_for(attempt.provider).avoid_seconds)
    await catalog.remember_failure(
        session, provider=attempt.provider, offer_id=attempt.offer_id, reason="interrupted", until=until
    )


def _look_elsewhere(rental: RentalRow, *, at: datetime) -> None:
    rental.next_at = at
    rental.deadline_at = at + timedelta(seconds=rental.launch.get("recovery_seconds", RECOVERY_SECONDS))


async def _save(tools: Tools, rental: RentalRow, attempt: AttemptRow) -> Checkpoint | None:
    """Run the script; None when there is no time left for it or the machine does not answer."""
    at = tools.clock.now()
    allowed = timedelta(seconds=rental.launch["timeout_on_interrupt"])
    ends = [(rental.interrupted_at or at) + allowed]
    if attempt.preempts_at is not None:
        ends.append(attempt.preempts_at - timedelta(seconds=_LAST_SECONDS))
    seconds = (min(ends) - at).total_seconds()
    if seconds <= 0:
        return None
    try:
        async with tools.open_shell(
            connection_of(attempt),
            private_key=tools.platform_key.private,
            deadline_seconds=min(seconds, _SHELL_SECONDS),
            known_host=attempt.host_key,
        ) as shell:
            env = environment(tools.vault, rental)
            return await save_checkpoint(shell, script=rental.launch["on_interrupt"], env=env, seconds=seconds)
    except ShellError:
        return None


async def _leave(tools: Tools, this: Round, seen: RentalRow, attempt: AttemptRow, saved: Checkpoint | None) -> str:
    """Doom the machine, keep what the script said, and let placement look for another."""
    at = tools.clock.now()
    async with tools.db.begin_unscoped() as session:
        rental, row = await held_attempt(
            session, this, bucket=seen.bucket, account_id=seen.account_id, rental_id=seen.id, number=attempt.number
        )
        if rental is None or row is None or rental.stage != Stage.CHECKPOINTING:
            return "moved_on"
        doom(row, at=at, reason="interrupted", message="Interrupted: notice.", nothing_there=False)
        _keep_output(session, rental, saved, at=at)
        _look_elsewhere(rental, at=at)
        exit_status = None if saved is None else saved.exit_status
        data = {"attempt": row.number, "exit_status": exit_status}
        await record(session, Event(AccountId(rental.account_id), rental.id, "rental.checkpointed", at, data=data))
        await move(session, rental, Status.INTERRUPTED, stage=Stage.MATCHING, at=at)
    return "checkpoint_failed" if exit_status != 0 else "checkpointed"


def _keep_output(session: AsyncSession, rental: RentalRow, saved: Checkpoint | None, *, at: datetime) -> None:
    if saved is None or not saved.output:
        return
    session.add(
        LogRow(
            account_id=rental.account_id,
            rental_id=rental.id,
            from_offset=rental.log_offset,
            text=saved.output,
            at=at,
        )
    )
    rental.log_offset += len(saved.output.encode())
