"""What the room's reconcilers look for, over all accounts: for the worker alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from asyncpg import Record
from sqlalchemy import Row, and_, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.rentals.models import AttemptRow, OrphanRow, RentalRow

# The looks that are taken again and again, for the most part at nothing: a statement that is built and compiled each
# time, with a parameter for each bucket, takes ten times as long.
_TO_PLACE = """
SELECT account_id, id, bucket, listing ->> 'provider' FROM rentals
WHERE next_at <= $1 AND bucket = ANY($2::smallint[])
    AND (status = 'provisioning' OR status = 'interrupted' AND stage = 'matching')
ORDER BY next_at LIMIT $3
"""
_CHECKPOINTING = """
SELECT account_id, id, bucket FROM rentals
WHERE status = 'interrupted' AND stage = 'checkpointing' AND next_at <= $1 AND bucket = ANY($2::smallint[])
ORDER BY next_at LIMIT $3
"""
_HIBERNATING = """
SELECT account_id, id, bucket FROM rentals
WHERE status = 'hibernating' AND next_at <= $1 AND bucket = ANY($2::smallint[]) ORDER BY next_at LIMIT $3
"""
_OVERDUE = """
SELECT account_id, id, bucket FROM rentals
WHERE status = 'running' AND stop_at <= $1 AND bucket = ANY($2::smallint[]) ORDER BY stop_at LIMIT $3
"""
_DOOMED = """
SELECT account_id, rental_id, number, bucket, provider FROM attempts
WHERE status = 'doomed' AND next_at <= $1 AND bucket = ANY($2::smallint[]) ORDER BY next_at LIMIT $3
"""
_LIVE = """
SELECT r.account_id, r.id, a.number, r.bucket, coalesce(a.machine_id, ''), r.heartbeat_at,
    (a.listing ->> 'spot')::boolean, coalesce(a.booting_at, a.created_at),
    CASE WHEN r.launch ->> 'on_interrupt' IS NULL THEN 0 ELSE (r.launch ->> 'timeout_on_interrupt')::integer END,
    a.answered_at
FROM rentals r JOIN attempts a ON a.account_id = r.account_id AND a.rental_id = r.id
WHERE r.status = 'running' AND r.bucket = ANY($2::smallint[]) AND a.status = 'live' AND a.provider = $1
"""


async def find_to_place(session: AsyncSession, *, at: datetime, buckets: Sequence[int], limit: int) -> list[Record]:
    """Return (account, rental, bucket, cloud) of rentals that placement has to look at now, all accounts."""
    return await driver(session).fetch(_TO_PLACE, at, buckets, limit)


async def find_checkpointing(
    session: AsyncSession, *, at: datetime, buckets: Sequence[int], limit: int
) -> list[Record]:
    """Return (account, rental, bucket) of rentals whose machine is about to be taken back, all accounts."""
    return await driver(session).fetch(_CHECKPOINTING, at, buckets, limit)


async def find_hibernating(session: AsyncSession, *, at: datetime, buckets: Sequence[int], limit: int) -> list[Record]:
    """Return (account, rental, bucket) of rentals on their way into hibernation, all accounts."""
    return await driver(session).fetch(_HIBERNATING, at, buckets, limit)


async def list_hibernated(session: AsyncSession, *, provider: str, buckets: Sequence[int]) -> Sequence[AttemptRow]:
    """Return the attempts whose machine is off at one cloud, all accounts."""
    rows = await session.scalars(
        select(AttemptRow).where(
            AttemptRow.status == "hibernated", AttemptRow.provider == provider, AttemptRow.bucket.in_(buckets)
        )
    )
    return rows.all()


class Queued(NamedTuple):
    """A rental that waits."""

    account_id: str
    id: str
    bucket: int
    created_at: datetime
    queued_until: datetime
    wanted: Mapping[str, Any]


async def list_queued(session: AsyncSession, *, after: tuple[datetime, str] | None, limit: int) -> Sequence[Queued]:
    """Return what waits, the oldest first, from behind a place in the queue; all accounts, all buckets."""
    wanted = select(
        RentalRow.account_id,
        RentalRow.id,
        RentalRow.bucket,
        RentalRow.created_at,
        func.coalesce(RentalRow.queued_until, RentalRow.created_at),
        RentalRow.wanted,
    ).where(RentalRow.status == "queued")
    if after is not None:
        wanted = wanted.where(tuple_(RentalRow.created_at, RentalRow.id) > after)
    rows = await session.execute(wanted.order_by(RentalRow.created_at, RentalRow.id).limit(limit))
    return [Queued(*row) for row in rows]


async def list_admitted(session: AsyncSession) -> Sequence[str]:
    """Return the listings of rentals that waited and are about to be placed on them, all accounts."""
    rows = await session.scalars(
        select(RentalRow.listing["listing_id"].astext).where(
            RentalRow.next_at.is_not(None),
            RentalRow.queued_until.is_not(None),
            RentalRow.status == "provisioning",
            RentalRow.stage.in_(["matching", "creating"]),
        )
    )
    return rows.all()


async def find_doomed(session: AsyncSession, *, at: datetime, buckets: Sequence[int], limit: int) -> list[Record]:
    """Return (account, rental, number, bucket, cloud) of attempts whose machine has to go, all accounts."""
    return await driver(session).fetch(_DOOMED, at, buckets, limit)


async def find_overdue(session: AsyncSession, *, at: datetime, buckets: Sequence[int], limit: int) -> list[Record]:
    """Return (account, rental, bucket) of running rentals whose time is over, all accounts."""
    return await driver(session).fetch(_OVERDUE, at, buckets, limit)


async def find_live(session: AsyncSession, *, provider: str, buckets: Sequence[int]) -> list[Record]:
    """Return everything running at one cloud, all accounts.

    Each is (account, rental, number, bucket, machine, heartbeat, spot, when the machine was made, seconds of the
    script for an interruption, when the machine last answered).
    """
    return await driver(session).fetch(_LIVE, provider, buckets)


async def save_heartbeats(
    session: AsyncSession, rentals: Sequence[tuple[str, str]], *, at: datetime, status: str = "running"
) -> None:
    """Note that these (account, rental) were well: one statement."""
    await session.execute(
        update(RentalRow)
        .where(tuple_(RentalRow.account_id, RentalRow.id).in_(list(rentals)), RentalRow.status == status)
        .values(heartbeat_at=at)
        .execution_options(synchronize_session=False)
    )


async def save_answers(session: AsyncSession, attempts: Sequence[tuple[str, str, int]], *, at: datetime) -> None:
    """Note that the machines of these (account, rental, number) answered: one statement."""
    await session.execute(
        update(AttemptRow)
        .where(tuple_(AttemptRow.account_id, AttemptRow.rental_id, AttemptRow.number).in_(list(attempts)))
        .values(answered_at=at)
        .execution_options(synchronize_session=False)
    )


async def find_untended(session: AsyncSession, *, buckets: Sequence[int], limit: int) -> Sequence[Row[str, str, int]]:
    """Return (account, rental, bucket) of running rentals whose keys changed or whose script still runs."""
    script = RentalRow.launch["startup_script"].astext.is_not(None)
    rows = await session.execute(
        select(RentalRow.account_id, RentalRow.id, RentalRow.bucket)
        .where(
            RentalRow.status == "running",
            RentalRow.bucket.in_(buckets),
            or_(RentalRow.keys_applied < RentalRow.keys_version, and_(script, RentalRow.log_exit.is_(None))),
        )
        .order_by(RentalRow.id)
        .limit(limit)
    )
    return rows.all()


async def find_owners(
    session: AsyncSession, *, rentals: Sequence[tuple[str, int]]
) -> Sequence[Row[str, str, int, str | None, str]]:
    """Return (account, rental, number, machine, status) of attempts by (rental, number), all accounts."""
    rows = await session.execute(
        select(
            AttemptRow.account_id, AttemptRow.rental_id, AttemptRow.number, AttemptRow.machine_id, AttemptRow.status
        ).where(tuple_(AttemptRow.rental_id, AttemptRow.number).in_(list(rentals)))
    )
    return rows.all()


async def list_orphans(session: AsyncSession, *, provider: str) -> Sequence[OrphanRow]:
    """Return the machines of one cloud that were seen without an owner and are not known to be destroyed."""
    rows = await session.scalars(
        select(OrphanRow).where(OrphanRow.provider == provider, OrphanRow.destroyed_at.is_(None))
    )
    return rows.all()
