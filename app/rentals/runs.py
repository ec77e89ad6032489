"""Runs: the stretches of time for which a rental is billed. What lies between them is a gap and costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import catalog, policies, wallet
from app.kit.clock import whole_seconds
from app.kit.ids import AccountId, RentalId
from app.rentals.models import AttemptRow, RentalRow, RunRow

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
    await policies.recap(session, account_id=AccountId(rental.account_id), at=at)


async def end_run(session: AsyncSession, rental: RentalRow, *, end: datetime, at: datetime, because: str) -> None:
    """Note that the present stretch, if there is one, was over at ``end``; what else runs may go on for longer by it.

    The caller holds the rental's lock and has ended the meter in the same transaction.
    """
    run = await session.scalar(
        select(RunRow).where(
            RunRow.account_id == rental.account_id, RunRow.rental_id == rental.id, RunRow.ended_at.is_(None)
        )
    )
    if run is None:
        return
    run.ended_at, run.ended_because = max(end, run.began_at), because
    if run.kind == "ran":
        rental.ran_seconds += whole_seconds(run.began_at, run.ended_at)
        rental.run_since = None
    await session.flush()  # the next stretch may begin in the same transaction, and only one may be open
    await policies.recap(session, account_id=AccountId(rental.account_id), at=at)


async def shorten_run(
    session: AsyncSession, rental: RentalRow, run: RunRow, *, end: datetime, at: datetime, reason: str
) -> int:
    """Note that the last stretch, which is over, was over at ``end`` already, and give back what was charged beyond.

    For a meter that stands. The caller holds the wallet's lock and the rental's. Returns what was given back.
    """
    if run.ended_at is None or end >= run.ended_at:
        return 0
    unused = whole_seconds(run.began_at, run.ended_at) - whole_seconds(run.began_at, end)
    run.ended_at = end
    if run.kind == "ran":
        rental.ran_seconds -= unused
    await session.flush()
    return await wallet.unrun(
        session,
        account_id=AccountId(rental.account_id),
        rental_id=RentalId(rental.id),
        seconds=unused,
        at=at,
        reason=reason,
    )


async def close_meter(session: AsyncSession, rental: RentalRow, *, end: datetime, at: datetime, because: str) -> None:
    """End what is billed at ``end`` and give the hold back, with what of a gap was charged before it was noticed.

    The caller holds the wallet's lock and the rental's.
    """
    account_id, rental_id = AccountId(rental.account_id), RentalId(rental.id)
    await wallet.close(session, account_id=account_id, rental_id=rental_id, at=at, billable_until=end)
    await end_run(session, rental, end=end, at=at, because=because)
    await give_back_gap(session, rental, end=end, at=at)


async def give_back_gap(session: AsyncSession, rental: RentalRow, *, end: datetime, at: datetime) -> None:
    """Give back what was charged of a gap before it was noticed, and that no later run has used up by ``end``.

    For when no run at this rate follows. The meter stands; the caller holds the wallet's lock and the rental's.
    """
    if rental.interruptions:
        await wallet.refund_host_fault(
            session,
            account_id=AccountId(rental.account_id),
            rental_id=RentalId(rental.id),
            at=at,
            reason="the machine was gone",
            good_until=end,
        )


async def note_run(session: AsyncSession, attempt: AttemptRow, *, good: bool, at: datetime) -> None:
    """Tell the catalog how long a machine ran, and whether it was ended by us. Told once; nothing of one that never ran."""
    runs = await session.scalars(
        select(RunRow).where(
            RunRow.account_id == attempt.account_id,
            RunRow.rental_id == attempt.rental_id,
            RunRow.attempt == attempt.number,
            RunRow.kind == "ran",
            RunRow.ended_at.is_not(None),
        )
    )
    lengths = [whole_seconds(run.began_at, run.ended_at) for run in runs if run.ended_at is not None]
    if not lengths:
        return
    await catalog.record_machine(
        session,
        fact_id=f"run:{attempt.rental_id}:{attempt.number}",
        kind="run",
        provider=attempt.provider,
        family=attempt.listing["family"],
        spot=attempt.listing["spot"],
        good=good,
        seconds=sum(lengths),
        at=at,
    )


async def list_runs(session: AsyncSession, *, account_id: AccountId, rental_id: str) -> Sequence[RunRow]:
    """Return a rental's stretches, in order."""
    runs = await session.scalars(
        select(RunRow).where(RunRow.account_id == account_id, RunRow.rental_id == rental_id).order_by(RunRow.number)
    )
    return runs.all()
