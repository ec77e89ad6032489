"""A machine that is off: what it costs, how its cloud is asked for it, and what is done once it is lost."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app import wallet
from app.kit.ids import AccountId
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Round
from app.providers import Capability, Gone, Machine, MachineStatus, Provider
from app.rentals import queries
from app.rentals.asking.asking import Chosen
from app.rentals.models import AttemptRow, RentalRow
from app.rentals.placing.giving_up import doom, failure
from app.rentals.runs import close_meter
from app.rentals.states import Status, move

OFF: Final = frozenset({MachineStatus.HIBERNATED, MachineStatus.STOPPED, MachineStatus.PREEMPTED})
"""A spot machine that was stopped reads as one that was taken back."""
LOST: Final = frozenset({MachineStatus.FAILED, MachineStatus.GONE, MachineStatus.DELETING})


def stopped_rate(capability: Capability, chosen: Chosen, *, rate: int) -> int | None:
    """Return what an hour of hibernation costs on a machine, in micro-dollars; None where it can't hibernate.

    The disk, and what the cloud asks beside it; never more than ``rate``. A hold can't be at no rate at all, so that
    what costs nothing is a micro-dollar.
    """
    if capability.hibernate:
        asked = chosen.stopped_micros_per_hour
    else:
        asked = (chosen.stopped_micros_per_hour or 0) if capability.stop else None
    if asked is None:
        return None
    return max(1, min(rate, asked + chosen.disk_micros_per_hour))


async def seen_at(provider: Provider, attempt: AttemptRow) -> Machine | None:
    """Return an attempt's machine as its cloud tells it; None when it is gone."""
    try:
        return await provider.get_machine(attempt.machine_id or "")
    except Gone:
        return None


async def turn_off(provider: Provider, attempt: AttemptRow) -> None:
    """Ask a cloud to turn a machine off and to keep its disk.

    Raises: what ``Provider.hibernate`` and ``Provider.stop`` raise.
    """
    ask = provider.hibernate if provider.capability.hibernate else provider.stop
    await ask(attempt.machine_id or "")


async def held_power(
    session: AsyncSession, this: Round, seen: AttemptRow, *, status: Status
) -> tuple[RentalRow, AttemptRow] | None:
    """Lock a rental's wallet, itself and its attempt, under the worker's fence; None once it is in another status."""
    await fenced(session, this.holding, [bucket_name(seen.bucket)])
    await wallet.lock(session, account_id=AccountId(seen.account_id))
    rental = await queries.lock_rental(session, account_id=seen.account_id, rental_id=seen.rental_id)
    row = await queries.lock_attempt(session, account_id=seen.account_id, rental_id=seen.rental_id, number=seen.number)
    if rental is None or row is None or rental.status != status or row.status != status:
        return None
    return rental, row


async def give_up_for_lost(
    session: AsyncSession, rental: RentalRow, row: AttemptRow, *, end: datetime, at: datetime
) -> None:
    """End a rental whose machine was lost while it was off: billed until ``end``. Its disk is lost with it."""
    await close_meter(session, rental, end=end, at=at, because="host_lost")
    message = "The machine was lost while it was off."
    doom(row, at=at, reason="host_lost", message=message, nothing_there=False)
    rental.ended_at, rental.settled_at, rental.next_at, rental.disk_lost = end, at, None, True
    rental.failure = failure("host_lost", stage=None, message=message)
    await move(session, rental, Status.FAILED, at=at, data={"reason": "host_lost", "disk_lost": True})
