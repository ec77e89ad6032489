"""Adding up: what a month began with, what moved, what it ended with, and what each rental cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database, driver
from app.kit.errors import NotFound
from app.kit.ids import AccountId
from app.ledger import Bucket, Kind
from app.statements import queries
from app.statements.months import Month

FINAL_AFTER = timedelta(minutes=10)
"""What began before a month's end has been committed by then, or never will be."""

_READ_AT_ONCE = 1_000
_ORDER = {kind.value: place for place, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class Balances:
    """A wallet's three buckets, or how they changed, in micro-dollars."""

    available: int = 0
    reserved: int = 0
    owed: int = 0

    @property
    def total(self) -> int:
        """``available`` and ``reserved``."""
        return self.available + self.reserved

    def __add__(self, other: Balances) -> Balances:
        return Balances(self.available + other.available, self.reserved + other.reserved, self.owed + other.owed)


@dataclass(frozen=True, slots=True)
class Line:
    """All movements of one kind in a month."""

    kind: str
    count: int
    amount: int
    change: Balances
    """What they did to the wallet. What is set aside or given back changes no total."""


@dataclass(frozen=True, slots=True)
class Used:
    """What one rental, or all of them, cost in a month, in micro-dollars."""

    rental_id: str
    seconds: int
    rate: int | None
    charged: int
    refunded: int

    @property
    def net(self) -> int:
        """``charged`` less ``refunded``."""
        return self.charged - self.refunded


@dataclass(frozen=True, slots=True)
class Span:
    """Which movements a statement is of: those of an account in a month, up to a ``seq``, for ever the same ones."""

    account_id: AccountId
    month: Month
    last_seq: int

    @property
    def bounds(self) -> tuple[str, int, datetime, datetime]:
        """The first parameters of the statements about usage."""
        return self.account_id, self.last_seq, self.month.starts_at, self.month.ends_at


@dataclass(frozen=True, slots=True)
class Totals:
    """The usage of all rentals in a month."""

    rentals: int
    seconds: int
    charged: int
    refunded: int

    @property
    def net(self) -> int:
        """``charged`` less ``refunded``."""
        return self.charged - self.refunded


@dataclass(frozen=True, slots=True)
class MonthSummed:
    """A month in a list."""

    month: Month
    opening: Balances
    closing: Balances
    count: int
    final: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """One account's month."""

    span: Span
    as_of: datetime
    """For when it holds: the month's end once it is final, else the moment of asking."""
    final: bool
    opening: Balances
    lines: tuple[Line, ...]
    usage: Totals

    @property
    def closing(self) -> Balances:
        """What the month ended with."""
        return sum((line.change for line in self.lines), start=self.opening)

    @property
    def total_in(self) -> int:
        """What came in: the kinds that made the total larger."""
        return sum(max(0, line.change.total) for line in self.lines)

    @property
    def total_out(self) -> int:
        """What went out: the kinds that made the total smaller, as a positive amount."""
        return -sum(min(0, line.change.total) for line in self.lines)


async def get_statement(session: AsyncSession, month: Month, *, account_id: AccountId, at: datetime) -> Statement:
    """Return the statement of a month.

    Raises:
        NotFound: the month has not begun, or ended before the account's first movement.
    """
    if month > Month.of(at):
        raise NotFound("There is no statement of a month that has not begun.")
    connection = driver(session)
    # Looked at before the movements: what is settled in between is in them and makes the statement provisional once more.
    unsettled = await connection.fetchval(queries.FIRST_UNSETTLED, account_id)
    final = _is_final(month, unsettled=unsettled, at=at)
    span = Span(account_id, month, await connection.fetchval(queries.LAST_SEQ, account_id))
    rows = await connection.fetch(queries.SUM_BY_KIND, account_id, span.last_seq, month.starts_at, month.ends_at)
    if not rows:
        raise NotFound("There is no statement of a month before the first movement of money.")
    [usage] = await connection.fetch(queries.SUM_USED, *span.bounds)
    return Statement(
        span=span,
        as_of=month.ends_at if final else min(at, month.ends_at),
        final=final,
        opening=sum((_change(row) for row in rows if row["earlier"]), start=Balances()),
        lines=_lines(row for row in rows if not row["earlier"]),
        usage=Totals(*usage),
    )


async def is_final(session: AsyncSession, month: Month, *, account_id: AccountId, at: datetime) -> bool:
    """Say whether a month of an account is over and settled to its end: nothing is added to it any more."""
    unsettled = await driver(session).fetchval(queries.FIRST_UNSETTLED, account_id)
    return _is_final(month, unsettled=unsettled, at=at)


async def list_months(session: AsyncSession, *, account_id: AccountId, at: datetime) -> list[MonthSummed]:
    """Return every month from the first movement to now, newest first."""
    connection = driver(session)
    unsettled = await connection.fetchval(queries.FIRST_UNSETTLED, account_id)
    last_seq = await connection.fetchval(queries.LAST_SEQ, account_id)
    rows = await connection.fetch(queries.SUM_BY_MONTH, account_id, last_seq)
    changes: dict[Month, Balances] = defaultdict(Balances)
    counts: Counter[Month] = Counter()
    for row in rows:
        month = Month.parse(row["month"])
        changes[month] += _change(row)
        counts[month] += row["count"]
    first = min(changes) if changes else None
    listed: list[MonthSummed] = []
    opening = Balances()
    for month in _months(first, until=Month.of(at)):
        closing = opening + changes[month]
        final = _is_final(month, unsettled=unsettled, at=at)
        listed.append(MonthSummed(month, opening, closing, counts[month], final))
        opening = closing
    return listed[::-1]


async def every_rental(db: Database, span: Span) -> AsyncIterator[Sequence[Used]]:
    """Yield what each rental cost, oldest first, some at a time, each from a short transaction.

    Who reads slowly holds up nobody, and what is posted meanwhile is not seen.
    """
    after = ""
    while True:
        async with db.begin(span.account_id) as session:
            rows = await driver(session).fetch(queries.LIST_USED, *span.bounds, after, _READ_AT_ONCE)
        if rows:
            yield [Used(*row) for row in rows]
        if len(rows) < _READ_AT_ONCE:
            return
        after = rows[-1]["rental_id"]


async def list_dearest(session: AsyncSession, span: Span, *, limit: int) -> list[Used]:
    """Return the rentals that cost most in a month, oldest first."""
    rows = await driver(session).fetch(queries.LIST_DEAREST, *span.bounds, limit)
    return sorted((Used(*row) for row in rows), key=lambda used: used.rental_id)


def _is_final(month: Month, *, unsettled: datetime | None, at: datetime) -> bool:
    """A rental that ran across a month's end is settled up to there afterwards; ``unsettled``: the first such moment."""
    return at >= month.ends_at + FINAL_AFTER and (unsettled is None or unsettled >= month.ends_at)


def _lines(rows: Iterable[asyncpg.Record]) -> tuple[Line, ...]:
    lines: dict[str, Line] = {}
    for row in rows:
        before = lines.get(row["kind"]) or Line(row["kind"], 0, 0, Balances())
        lines[row["kind"]] = Line(
            row["kind"], before.count + row["count"], before.amount + row["amount"], before.change + _change(row)
        )
    return tuple(sorted(lines.values(), key=lambda line: (_ORDER.get(line.kind, len(_ORDER)), line.kind)))


def _change(row: asyncpg.Record) -> Balances:
    """Return what a group of movements did. ``owed`` is what the account owes us: a debit of it raises the debt."""
    return Balances(
        available=_sign(row, Bucket.AVAILABLE) * row["amount"],
        reserved=_sign(row, Bucket.RESERVED) * row["amount"],
        owed=-_sign(row, Bucket.OWED) * row["amount"],
    )


def _sign(row: asyncpg.Record, bucket: Bucket) -> int:
    return int(row["credit"] == bucket) - int(row["debit"] == bucket)


def _months(first: Month | None, *, until: Month) -> Iterable[Month]:
    while first is not None and first <= until:
        yield first
        first = first.next
