"""Counting: what was spent is summed by the local days of everybody who spent it, so that the tail stays short.

Each transfer is counted once, up to a watermark per account; what came after it is read from the ledger itself
(``standing``), so that sums are exact at any moment, however far behind this is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.days import day_of, start_of_day, zone_named
from app.kit.db import driver
from app.policies import queries
from app.policies.terms import UTC_NAME

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Miszoned:
    """A subject whose days are counted in another zone than its own."""

    account_id: str
    subject: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class _Books:
    """Accounts, and from which transfer (out) to which (in) they are counted."""

    account_ids: list[str]
    after: list[int]
    upto: list[int]


async def count(session: AsyncSession, account_ids: Sequence[str]) -> int:
    """Count what was posted in some accounts since the last time: a few statements however many they are.

    Returns of how many accounts there was anything. Counting again counts nothing more.
    """
    connection = driver(session)
    await connection.execute(queries.OPEN_COUNTED, sorted(account_ids))
    counted = {row["account_id"]: row["seq"] for row in await connection.fetch(queries.LOCK_COUNTED, list(account_ids))}
    posted = {row["account_id"]: row["seq"] for row in await connection.fetch(queries.READ_POSTED, list(account_ids))}
    behind = sorted(account for account, seq in posted.items() if seq > counted.get(account, 0))
    if not behind:
        return 0
    books = _Books(behind, [counted[account] for account in behind], [posted[account] for account in behind])
    await _cut(connection, books, subject=None)
    await connection.execute(queries.SAVE_COUNTED, behind, books.upto)
    return len(behind)


async def recount(session: AsyncSession, found: Miszoned) -> None:
    """Count a subject's days anew in its own zone, from the whole of its account's ledger. Harmless to repeat."""
    connection = driver(session)
    await connection.execute(queries.OPEN_COUNTED, [found.account_id])
    [row] = await connection.fetch(queries.LOCK_COUNTED, [found.account_id])
    await connection.execute(queries.FORGET_DAYS, found.account_id, found.subject)
    await connection.execute(queries.SAVE_ZONE, found.account_id, found.subject, found.time_zone)
    await _cut(connection, _Books([found.account_id], [0], [row["seq"]]), subject=found.subject)


async def find_uncounted(session: AsyncSession, *, buckets: Sequence[int], limit: int) -> list[str]:
    """Return accounts of some buckets with transfers that are not counted yet."""
    rows = await driver(session).fetch(queries.FIND_UNCOUNTED, list(buckets), limit)
    return [row["account_id"] for row in rows]


async def find_miszoned(session: AsyncSession, *, buckets: Sequence[int], limit: int) -> list[Miszoned]:
    """Return subjects of some buckets whose zone has changed since their days were counted."""
    rows = await driver(session).fetch(queries.FIND_MISZONED, list(buckets), limit)
    return [Miszoned(*row) for row in rows]


async def _cut(connection: asyncpg.Connection, books: _Books, *, subject: str | None) -> None:
    values = (books.account_ids, books.after, books.upto, *([] if subject is None else [subject]))
    [span] = await connection.fetch(queries.READ_SPAN if subject is None else queries.READ_SPAN_OF_SUBJECT, *values)
    if span["since"] is None:
        return
    zones = {UTC_NAME} | {row["time_zone"] for row in await connection.fetch(queries.READ_ZONES, books.account_ids)}
    days = [(zone, *day) for zone in sorted(zones) for day in _days(zone, since=span["since"], until=span["until"])]
    statement = queries.COUNT if subject is None else queries.COUNT_SUBJECT
    await connection.execute(
        statement,
        books.account_ids,
        books.after,
        books.upto,
        subject,
        *map(list, zip(*days, strict=True)),
    )


def _days(name: str, *, since: datetime, until: datetime) -> list[tuple[date, datetime, datetime]]:
    """Return the local days of a zone, one after the other without a gap, that hold every moment of a span."""
    zone = zone_named(name)
    day, last = day_of(since - timedelta(seconds=1), zone), day_of(until, zone)
    found = []
    while day <= last:
        found.append((day, start_of_day(day, zone), start_of_day(day + _DAY, zone)))
        day += _DAY
    return found
