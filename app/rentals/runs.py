"""Runs: the stretches of time for which a rental is billed. What lies between them is a gap and costs nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.clock import whole_seconds
from app.rentals.models import RentalRow, RunRow

Kind = Literal["ran", "hibernated"]


async def begin_run(
    session: AsyncSession, rental: RentalRow, *, attempt: int, at: datetime, kind: Kind = "ran", rate: int | None = None
) -> None:
    """Note that from ``at`` on the rental is billed, by its own rate unless another is given.

    The caller holds the rental's lock and begins the meter in the same transaction.
    """
    number = await session.scalar(
        select(func.coalesce(func.max(RunRow.number), 0) + 1).where(
            RunRow.account_id == rental.account_id, RunRow.rental_id == rental.id
        )
    )
    session.add(
        RunRow(
            account_id=rental.account_id,
            rental_id=rental.id,
            number=number,
            kind=kind,
            attempt=attempt,
            rate=rental.rate if rate is None else rate,
            began_at=at,
        )
    )
    if kind == "ran":
        rental.run_since = at


async def end_run(session: AsyncSession, rental: RentalRow, *, at: datetime, because: str) -> None:
    """Note that the present stretch, if there is one, was over at ``at``. The caller holds the rental's lock."""
    run = await session.scalar(
        select(RunRow).where(
            RunRow.account_id == rental.account_id, RunRow.rental_id == rental.id, RunRow.ended_at.is_(None)
        )
    )
    if run is None:
        return
    run.ended_at, run.ended_because = max(at, run.began_at), because
    if run.kind == "ran":
        rental.ran_seconds += whole_seconds(run.began_at, run.ended_at)
        rental.run_since = None
