"""Resuming: what hibernates is woken on its own machine; where that can't be, another is rented and the disk is lost.

    hibernated ─► provisioning[resuming ► checking] ─► running
                          └► matching ► …              the machine is gone, its GPU taken, or it does not come back

Nothing is billed until the machine has passed its check again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app import policies, tenancy, wallet
from app.kit.errors import InvalidState, NotFound
from app.kit.ids import AccountId, RentalId
from app.kit.reconcile import Round
from app.providers import (
    Gone,
    Machine,
    MachineStatus,
    NoCapacity,
    NotYet,
    OutcomeUnknown,
    Provider,
    ProviderError,
    Rejected,
    Unsupported,
)
from app.rentals import queries
from app.rentals.fencing import held_rental, look_again
from app.rentals.models import AttemptRow, RentalRow
from app.rentals.placing.booting import address_of
from app.rentals.placing.giving_up import abandon
from app.rentals.placing.last_look import give_back_lost_disk
from app.rentals.placing.power import LOST, OFF
from app.rentals.runs import end_run
from app.rentals.states import Stage, Status, move
from app.rentals.tools import Tools

PROVISIONING_SECONDS: Final = 900
"""How long a machine, this or another, is looked for."""

_HOPELESS = (NoCapacity, Gone, Unsupported, Rejected)


async def resume(
    session: AsyncSession, *, account_id: AccountId, rental_id: RentalId, actor: str, at: datetime
) -> RentalRow:
    """Accept that a rental is to run again: an hour at its own rate is held. Doing so again changes nothing.

    Raises:
        NotFound: there is no such rental.
        InvalidState: it does not hibernate.
        InsufficientBalance: an hour is not available; it hibernates on.
        WalletLocked: of the wallet; it hibernates on.
        BudgetExceeded, ProvisioningPaused, KeyLimitExceeded: a policy says no; it hibernates on.
    """
    await wallet.lock(session, account_id=account_id)
    rental = await queries.lock_rental(session, account_id=account_id, rental_id=rental_id)
    attempt = await queries.find_alive(session, account_id=account_id, rental_id=rental_id)
    if rental is None:
        raise NotFound("There is no such rental.")
    if rental.status == Status.PROVISIONING and rental.hibernated_at is not None:
        return rental
    if rental.status != Status.HIBERNATED or attempt is None:
        raise InvalidState("Only a hibernated rental can be resumed.")
    await wallet.pause(session, account_id=account_id, rental_id=rental_id, at=at)
    await _allow(session, rental, at=at)
    await wallet.change_rate(session, account_id=account_id, rental_id=rental_id, rate=rental.rate, at=at)
    await end_run(session, rental, end=at, at=at, because="resumed")
    attempt.status, attempt.resuming_at = "resuming", at
    rental.next_at, rental.deadline_at = at, at + timedelta(seconds=PROVISIONING_SECONDS)
    told = {"attempt": attempt.number, "resumed": True}
    await move(session, rental, Status.PROVISIONING, stage=Stage.RESUMING, at=at, actor=actor, data=told)
    return rental


async def _allow(session: AsyncSession, rental: RentalRow, *, at: datetime) -> None:
    """Ask the policies of those for whom it runs for an hour at its own rate, less what it holds while it is off."""
    account_id, rental_id = AccountId(rental.account_id), RentalId(rental.id)
    spender = await policies.find_spender(session, account_id=account_id, rental_id=rental_id)
    if spender is None:
        return
    if spender.key_id is not None:
        limits = await tenancy.key_limits(session, account_id=account_id, key_ids=[spender.key_id])
        spender = replace(spender, limit=limits.get(spender.key_id))
    hold = (await wallet.find_holds(session, account_id=account_id, rental_ids=[rental_id]))[rental_id]
    wish = policies.Wish(reserve=max(0, rental.rate - hold.meter.held), instances=0)
    rules = await policies.standing_terms_for(session, spender)
    await policies.require(session, rules, wish, at=at)


async def wake(tools: Tools, this: Round, rental: RentalRow, attempt: AttemptRow) -> str:
    """Take a machine that is to be woken one step further, or leave it for another."""
    is_late = _is_late(tools, attempt)
    try:
        machine = await _ask(tools.providers[attempt.provider], attempt, asks=not is_late)
    except ProviderError as error:
        if isinstance(error, Gone):
            await give_back_lost_disk(tools, this, attempt)
        if is_late or isinstance(error, _HOPELESS):
            return await _elsewhere(tools, this, rental, attempt, error.message)
        raise
    if machine.status is MachineStatus.RUNNING and machine.connection is not None:
        return await _awake(tools, this, rental, attempt, machine)
    if machine.status in LOST:
        await give_back_lost_disk(tools, this, attempt)
    if is_late or machine.status in LOST:
        return await _elsewhere(tools, this, rental, attempt, machine.status_message)
    pause = timedelta(seconds=tools.limits_for(attempt.provider).poll_seconds)
    await look_again(tools, this, rental, at=tools.clock.now() + pause)
    return "not_yet"


async def _ask(provider: Provider, attempt: AttemptRow, *, asks: bool) -> Machine:
    """Look at the machine, and while it is off ask for it to be woken."""
    machine_id = attempt.machine_id or ""
    machine = await provider.get_machine(machine_id)
    if asks and machine.status in OFF:
        with suppress(NotYet, OutcomeUnknown):  # whatever came of it, the next look tells
            await provider.resume(machine_id)
    return machine


def _is_late(tools: Tools, attempt: AttemptRow) -> bool:
    since = attempt.resuming_at or attempt.created_at
    return tools.clock.now() >= since + timedelta(seconds=tools.limits_for(attempt.provider).boot_seconds)


async def _elsewhere(tools: Tools, this: Round, rental: RentalRow, attempt: AttemptRow, message: str) -> str:
    """Leave the machine, and with it what was on its disk."""
    said = f"The machine could not be woken. {message}".strip()
    return await abandon(tools, this, rental, attempt, "no_capacity", message=said)


async def _awake(tools: Tools, this: Round, seen: RentalRow, attempt: AttemptRow, machine: Machine) -> str:
    at = tools.clock.now()
    async with tools.db.begin_unscoped() as session:
        rental = await held_rental(session, this, seen)
        row = await queries.lock_attempt(session, account_id=seen.account_id, rental_id=seen.id, number=attempt.number)
        if rental is None or row is None or row.status != "resuming" or machine.connection is None:
            return "moved_on"
        row.status, row.checking_at = "checking", at
        row.connection = address_of(machine, machine.connection)
        rental.next_at = at
        await move(session, rental, Status.PROVISIONING, stage=Stage.CHECKING, at=at, data={"attempt": row.number})
    return "awake"
