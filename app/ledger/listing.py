"""Reading transfers: a page, one, or all that match, newest first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database, driver
from app.kit.ids import AccountId, TransferId
from app.ledger import queries
from app.ledger.kinds import Kind

_EXPORT_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which transfers to read. None leaves a condition out."""

    kind: Kind | None = None
    rental_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before_seq: int | None = None


async def list_transfers(
    session: AsyncSession, wanted: Wanted, *, account_id: AccountId, limit: int
) -> list[asyncpg.Record]:
    """Return rows with the columns that ``rendering`` writes: one statement, made of the conditions that are set."""
    conditions = {
        "kind = ": wanted.kind,
        "rental_id = ": wanted.rental_id,
        "effective_at >= ": wanted.since,
        "effective_at < ": wanted.until,
        "seq < ": wanted.before_seq,
    }
    present = [(condition, value) for condition, value in conditions.items() if value is not None]
    where = "".join(f" AND {condition}${n}" for n, (condition, _) in enumerate(present, start=3))
    statement = queries.LIST_TRANSFERS.replace("{where}", where)
    return await driver(session).fetch(statement, account_id, limit, *(value for _, value in present))


async def find_transfer(
    session: AsyncSession, *, account_id: AccountId, transfer_id: TransferId
) -> asyncpg.Record | None:
    """Return one transfer, or None."""
    return await driver(session).fetchrow(queries.FIND_TRANSFER, account_id, transfer_id)


async def posted_for(session: AsyncSession, *, account_id: AccountId, reference: str) -> list[tuple[Kind, int]]:
    """Return (kind, micro-dollars) of every movement that belongs to a payment, refund, dispute, top-up or lot.

    In the order in which they were posted. Under the wallet's lock nothing can be added meanwhile.
    """
    rows = await driver(session).fetch(queries.POSTED_FOR, account_id, reference)
    return [(Kind(row["kind"]), row["amount"]) for row in rows]


async def every_transfer(db: Database, wanted: Wanted, *, account_id: AccountId) -> AsyncIterator[list[asyncpg.Record]]:
    """Yield all that match, a thousand at a time, each from a short transaction: who reads slowly holds up nobody.

    What is posted meanwhile is newer than where the reading began, so the whole is of one moment.
    """
    before = wanted.before_seq
    while True:
        part = Wanted(wanted.kind, wanted.rental_id, wanted.since, wanted.until, before)
        async with db.begin(account_id) as session:
            rows = await list_transfers(session, part, account_id=account_id, limit=_EXPORT_ROWS)
        if rows:
            yield rows
        if len(rows) < _EXPORT_ROWS:
            return
        before = rows[-1]["seq"]
