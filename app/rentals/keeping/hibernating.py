"""Hibernation: the machine is off and its disk is kept, for what the disk costs.

    running ─► hibernating ─► hibernated     its cloud is asked, then asked how it went
                   └─► running               it would not: billed again from that moment on
                   └─► failed                the machine is lost

Nothing is billed from the moment it is accepted until the machine is seen to be off, nor, where it no longer answered by
then, since it last did. Where a cloud can only stop a machine and keep its disk, that is done: what ran has ended then,
as after a restart.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app import wallet
from app.kit.errors import InvalidState, NotFound
from app.kit.ids import AccountId, RentalId
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Round
from app.providers import MachineStatus, ProviderError, Rejected, Unsupported
from app.rentals import finding, queries
from app.rentals.errors import CannotHibernate
from app.rentals.models import AttemptRow, RentalRow
from app.rentals.placing.last_look import look_before_rest
from app.rentals.placing.placement import Item
from app.rentals.placing.power import LOST, OFF, give_up_for_lost, held_power, seen_at, turn_off
from app.rentals.placing.recovering import ends_at
from app.rentals.runs import begin_run, end_run, give_back_gap
from app.rentals.states import Status, move
from app.rentals.tools import Tools

HIBERNATE_SECONDS: Final = 900
"""A machine that still runs so long after its cloud was asked goes on as the customer's."""

_REFUSED = (Unsupported, Rejected)


async def hibernate(
    session: AsyncSession, *, account_id: AccountId, rental_id: RentalId, actor: str, at: datetime
) -> RentalRow:
    """Accept that a rental is to hibernate: nothing is billed from now on. Doing so again changes nothing.

    Raises:
        NotFound: there is no such rental.
        CannotHibernate: its machine's cloud can't.
        InvalidState: it does not run.
    """
    await wallet.lock(session, account_id=account_id)
    rental = await queries.lock_rental(session, account_id=account_id, rental_id=rental_id)
    attempt = await queries.find_alive(session, account_id=account_id, rental_id=rental_id)
    if rental is None:
        raise NotFound("There is no such rental.")
    if rental.status in {Status.HIBERNATING, Status.HIBERNATED}:
        return rental
    if rental.status != Status.RUNNING or attempt is None or (rental.stop_at is not None and rental.stop_at <= at):
        raise InvalidState("Only a running rental can hibernate.")
    if rental.stopped_rate is None:
        raise CannotHibernate
    await wallet.pause(session, account_id=account_id, rental_id=rental_id, at=at)
    await end_run(session, rental, end=at, at=at, because="hibernated")
    await give_back_gap(session, rental, end=at, at=at)
    attempt.status = "hibernating"
    rental.next_at, rental.stop_at = at, None
    rental.deadline_at = at + timedelta(seconds=HIBERNATE_SECONDS)
    await move(session, rental, Status.HIBERNATING, at=at, actor=actor, data={"attempt": attempt.number})
    return rental


async def find(tools: Tools, this: Round, limit: int) -> list[Item]:
    """Return rentals that are on their way into hibernation and due for a look."""
    async with tools.db.begin_unscoped() as session:
        found = await finding.find_hibernating(session, at=this.at, buckets=this.holding.buckets, limit=limit)
    return [Item(*row) for row in found]


async def step(tools: Tools, this: Round, item: Item) -> str:
    """Look at one machine, and ask its cloud to turn it off while it runs."""
    async with tools.db.begin_unscoped() as session:
        rental = await queries.find_rental(session, account_id=item.account_id, rental_id=item.rental_id)
        attempt = await queries.find_alive(session, account_id=item.account_id, rental_id=item.rental_id)
    if rental is None or attempt is None or rental.status != Status.HIBERNATING:
        return "moved_on"
    machine = await seen_at(tools.providers[attempt.provider], attempt)
    is_running = machine is not None and machine.status is MachineStatus.RUNNING
    await look_before_rest(tools, this, attempt, is_running=is_running)
    if machine is not None and machine.status is MachineStatus.RUNNING:
        return await _ask(tools, this, rental, attempt)
    if machine is None or machine.status in LOST:
        return await _lost(tools, this, rental, attempt)
    if machine.status in OFF:
        return await _hibernated(tools, this, rental, attempt)
    return await _wait(tools, this, rental, attempt)


async def _ask(tools: Tools, this: Round, rental: RentalRow, attempt: AttemptRow) -> str:
    if tools.clock.now() >= rental.deadline_at:
        return await _back(tools, this, rental, attempt, "The cloud did not turn the machine off in time.")
    try:
        await turn_off(tools.providers[attempt.provider], attempt)
    except _REFUSED as error:
        return await _back(tools, this, rental, attempt, error.message)
    except ProviderError:  # whatever came of it, the next look tells
        return await _wait(tools, this, rental, attempt, outcome="asked_in_vain")
    return await _wait(tools, this, rental, attempt, outcome="asked")


async def _wait(tools: Tools, this: Round, seen: RentalRow, attempt: AttemptRow, *, outcome: str = "not_yet") -> str:
    seconds = tools.limits_for(attempt.provider).poll_seconds
    async with tools.db.begin_unscoped() as session:
        await fenced(session, this.holding, [bucket_name(seen.bucket)])
        rental = await queries.lock_rental(session, account_id=seen.account_id, rental_id=seen.id)
        if rental is None or rental.status != Status.HIBERNATING:
            return "moved_on"
        rental.next_at = tools.clock.now() + timedelta(seconds=seconds)
    return outcome


async def _hibernated(tools: Tools, this: Round, seen: RentalRow, attempt: AttemptRow) -> str:
    """The machine is off: from now on its disk is billed, and an hour of that is held."""
    at = tools.clock.now()
    account_id, rental_id = AccountId(seen.account_id), RentalId(seen.id)
    async with tools.db.begin_unscoped() as session:
        held = await held_power(session, this, attempt, status=Status.HIBERNATING)
        if held is None:
            return "moved_on"
        rental, row = held
        rate = rental.stopped_rate or 1
        if rental.interruptions:  # what of a gap was charged before it was noticed is no prepaid hibernation
            await wallet.refund_host_fault(
                session, account_id=account_id, rental_id=rental_id, at=at, reason="the machine was gone", good_until=at
            )
        await wallet.change_rate(session, account_id=account_id, rental_id=rental_id, rate=rate, at=at)
        await wallet.start(session, account_id=account_id, rental_id=rental_id, at=at)
        await begin_run(session, rental, attempt=row.number, at=at, kind="hibernated", rate=rate)
        row.status, row.hibernated_at = "hibernated", at
        rental.hibernated_at, rental.heartbeat_at, rental.next_at = at, at, None
        told = {"attempt": row.number, "rate_micros_per_hour": rate}
        await move(session, rental, Status.HIBERNATED, at=at, data=told)
    return "hibernated"


async def _back(tools: Tools, this: Round, seen: RentalRow, attempt: AttemptRow, message: str) -> str:
    """The machine runs on: it is the customer's again, and billed."""
    at = tools.clock.now()
    async with tools.db.begin_unscoped() as session:
        held = await held_power(session, this, attempt, status=Status.HIBERNATING)
        if held is None:
            return "moved_on"
        rental, row = held
        await wallet.start(session, account_id=AccountId(seen.account_id), rental_id=RentalId(seen.id), at=at)
        await begin_run(session, rental, attempt=row.number, at=at)
        row.status = "live"
        rental.next_at, rental.heartbeat_at, rental.stop_at = None, at, ends_at(rental, at=at)
        rental.status_reason = "hibernation_failed"
        told = {"attempt": row.number, "because": "hibernation_failed", "message": message[:500]}
        await move(session, rental, Status.RUNNING, at=at, data=told)
    return "goes_on"


async def _lost(tools: Tools, this: Round, seen: RentalRow, attempt: AttemptRow) -> str:
    del seen
    at = tools.clock.now()
    async with tools.db.begin_unscoped() as session:
        held = await held_power(session, this, attempt, status=Status.HIBERNATING)
        if held is None:
            return "moved_on"
        await give_up_for_lost(session, *held, end=at, at=at)
    return "lost"
