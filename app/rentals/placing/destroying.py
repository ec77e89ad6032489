"""Destroying: a doomed attempt's machine goes, and is seen to be gone. Never given up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.reconcile import Round
from app.providers import Gone, MachineStatus, Provider, ProviderError
from app.rentals import finding
from app.rentals.fencing import held_attempt
from app.rentals.models import AttemptRow, RentalRow
from app.rentals.placing import last_look
from app.rentals.runs import note_run
from app.rentals.states import Stage, Status, move
from app.rentals.tools import Tools

_PAUSE_MAX_SECONDS = 60.0


class Doomed(NamedTuple):
    """An attempt whose machine has to go."""

    account_id: str
    rental_id: str
    number: int
    bucket: int
    provider: str = ""


async def find(tools: Tools, this: Round, limit: int) -> list[Doomed]:
    """Return doomed attempts that are due for a look."""
    async with tools.db.begin_unscoped() as session:
        found = await finding.find_doomed(session, at=this.at, buckets=this.holding.buckets, limit=limit)
    return [Doomed(*row) for row in found]


async def step(tools: Tools, this: Round, item: Doomed) -> str:
    """Ask for the end of one machine and look whether it has come."""
    async with tools.db.begin_unscoped() as session:
        attempt = await session.get(AttemptRow, (item.account_id, item.rental_id, item.number))
    if attempt is None or attempt.status != "doomed":
        return "moved_on"
    provider = tools.providers.get(attempt.provider)
    if provider is None:
        return await _again(tools, this, item, attempt, outcome="provider_missing")
    machine_id = attempt.machine_id
    await last_look.look(tools, this, attempt)
    try:
        if machine_id is None:
            machine = await provider.find_by_marker(attempt.marker)
            if machine is None:
                return await _unfound(tools, this, item, attempt)
            machine_id = machine.machine_id
        gone = await _destroy(provider, machine_id)
    except ProviderError as error:
        return await _again(tools, this, item, attempt, outcome=type(error).__name__, machine_id=machine_id)
    if not gone:
        return await _again(tools, this, item, attempt, outcome="verifying", machine_id=machine_id)
    return await _finish(tools, this, item, outcome="gone")


async def _destroy(provider: Provider, machine_id: str) -> bool:
    """Return whether the machine is seen to be gone: a cloud's word that it will go is not enough."""
    await provider.destroy(machine_id)
    try:
        machine = await provider.get_machine(machine_id)
    except Gone:
        return True
    return machine.status is MachineStatus.GONE


async def _unfound(tools: Tools, this: Round, item: Doomed, attempt: AttemptRow) -> str:
    """No machine carries the marker: after a grace it never came to be. The sweep still watches for it.

    A customer who stopped meanwhile does not wait for our doubts: that rental is over when the create must be.
    """
    limits = tools.limits_for(attempt.provider)
    at = tools.clock.now()
    if at >= attempt.created_at + timedelta(seconds=limits.unfound_seconds):
        return await _finish(tools, this, item, outcome="never_was")
    # A stopping rental ends though its last attempt is still watched for a machine that may turn up.
    rests = at >= attempt.created_at + timedelta(seconds=2 * limits.create_seconds)
    return await _again(tools, this, item, attempt, outcome="not_found_yet", ends_with_it=rests)


async def _again(
    tools: Tools,
    this: Round,
    item: Doomed,
    attempt: AttemptRow,
    *,
    outcome: str,
    machine_id: str | None = None,
    ends_with_it: bool = False,
) -> str:
    at = tools.clock.now()
    pause = tools.limits_for(attempt.provider).poll_seconds * 2 ** min(attempt.destroy_tries, 6)
    async with tools.db.begin_unscoped() as session:
        rental, row = await _held(session, this, item)
        if rental is None or row is None or row.status != "doomed":
            return "moved_on"
        row.machine_id = row.machine_id or machine_id
        row.destroy_tries += 1
        row.next_at = at + timedelta(seconds=min(_PAUSE_MAX_SECONDS, pause))
        if ends_with_it:
            await _end_with(session, rental, row, at=at)
        elif outcome == "verifying" and rental.status == Status.STOPPING:
            await move(session, rental, Status.STOPPING, stage=Stage.VERIFYING, at=at)
    return outcome


async def _finish(tools: Tools, this: Round, item: Doomed, *, outcome: str) -> str:
    at = tools.clock.now()
    async with tools.db.begin_unscoped() as session:
        rental, row = await _held(session, this, item)
        if rental is None or row is None or row.status != "doomed":
            return "moved_on"
        _mark_gone(row, at=at)
        await note_run(session, row, good=row.reason is None, at=at)
        await _end_with(session, rental, row, at=at)
    return outcome


async def _held(session: AsyncSession, this: Round, item: Doomed) -> tuple[RentalRow | None, AttemptRow | None]:
    return await held_attempt(
        session, this, bucket=item.bucket, account_id=item.account_id, rental_id=item.rental_id, number=item.number
    )


async def _end_with(session: AsyncSession, rental: RentalRow, row: AttemptRow, *, at: datetime) -> None:
    """End a stopping rental with its last attempt."""
    if rental.status == Status.STOPPING and rental.attempts == row.number:
        await move(session, rental, Status.STOPPED, at=at, data={"end_reason": rental.end_reason})


def _mark_gone(row: AttemptRow, *, at: datetime) -> None:
    row.status, row.gone_at, row.next_at = "gone", at, None
