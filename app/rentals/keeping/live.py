"""Running rentals as the watch finds them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from app import wallet
from app.kit.ids import AccountId
from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Round
from app.rentals import finding, queries
from app.rentals.models import AttemptRow, RentalRow
from app.rentals.states import Status


class Live(NamedTuple):
    """A running rental with its machine."""

    account_id: str
    rental_id: str
    number: int
    bucket: int
    machine_id: str
    heartbeat_at: datetime | None
    spot: bool = False
    rented_at: datetime | None = None
    """When the cloud made the machine."""
    script_seconds: int = 0
    """How long the customer's script for an interruption may take; 0 where there is none."""
    answered_at: datetime | None = None
    """When the machine itself last answered."""


async def list_live(session: AsyncSession, *, provider: str, buckets: Sequence[int]) -> list[Live]:
    """Return everything of these buckets that runs at one cloud."""
    return [Live(*row) for row in await finding.find_live(session, provider=provider, buckets=buckets)]


async def held_live(session: AsyncSession, this: Round, one: Live) -> tuple[RentalRow, AttemptRow] | None:
    """Lock a running rental's wallet, itself and its attempt, under the worker's fence; None once it runs no more."""
    await fenced(session, this.holding, [bucket_name(one.bucket)])
    await wallet.lock(session, account_id=AccountId(one.account_id))
    rental = await queries.lock_rental(session, account_id=one.account_id, rental_id=one.rental_id)
    attempt = await queries.lock_attempt(session, account_id=one.account_id, rental_id=one.rental_id, number=one.number)
    if rental is None or rental.status != Status.RUNNING or attempt is None or attempt.status != "live":
        return None
    return rental, attempt


def last_pulse(rental: RentalRow, one: Live, *, at: datetime) -> datetime:
    """Return the last moment of the present run at which the machine, which is lost, was known to be well.

    That is when it last answered: a cloud calls a machine running that nobody can use any more, and once it is lost it
    can't be asked.
    """
    since = run_began(rental, at=at)
    return max(since, min(at, one.answered_at or since))


def run_began(rental: RentalRow, *, at: datetime) -> datetime:
    """Return when the present run began, also for one that a worker of an older version began without noting it."""
    return rental.run_since or rental.running_at or at
