"""Rentals under the worker's fence."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.leases import bucket_name, fenced
from app.kit.reconcile import Round
from app.rentals import queries
from app.rentals.models import AttemptRow, RentalRow
from app.rentals.states import PLACED
from app.rentals.tools import Tools


async def held_rental(session: AsyncSession, this: Round, seen: RentalRow) -> RentalRow | None:
    """Lock a rental under the worker's fence; None when it is no longer to be placed."""
    await fenced(session, this.holding, [bucket_name(seen.bucket)])
    rental = await queries.lock_rental(session, account_id=seen.account_id, rental_id=seen.id)
    return rental if rental is not None and rental.status in PLACED else None


async def held_attempt(
    session: AsyncSession, this: Round, *, bucket: int, account_id: str, rental_id: str, number: int
) -> tuple[RentalRow | None, AttemptRow | None]:
    """Lock a rental and one of its attempts, in this order, under the worker's fence."""
    await fenced(session, this.holding, [bucket_name(bucket)])
    rental = await queries.lock_rental(session, account_id=account_id, rental_id=rental_id)
    return rental, await queries.lock_attempt(session, account_id=account_id, rental_id=rental_id, number=number)


async def look_again(tools: Tools, this: Round, seen: RentalRow, *, at: datetime) -> None:
    """Set when placement looks at a rental again."""
    async with tools.db.begin_unscoped() as session:
        rental = await held_rental(session, this, seen)
        if rental is not None:
            rental.next_at = at
