"""Counting: what was posted is added to the sums by day and rental, each transfer once, in whole accounts at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId
from app.reports import queries

ROWS_MAX: Final = 20_000
"""How many transfers are counted in one transaction."""
TAIL_MAX: Final = 500
"""So many uncounted transfers make an account due at once."""
REST: Final = timedelta(hours=1)
"""How long fewer may wait: a day's row is then written 24 times and not 144."""


class Uncounted(NamedTuple):
    """An account with transfers to count."""

    account_id: AccountId
    bucket: int


async def find_uncounted(session: AsyncSession, *, at: datetime, buckets: Sequence[int], limit: int) -> list[Uncounted]:
    """Return accounts whose uncounted transfers are many, or waited for an hour."""
    rows = await driver(session).fetch(queries.FIND_UNCOUNTED, list(buckets), TAIL_MAX, at - REST, limit)
    return [Uncounted(AccountId(row["account_id"]), row["bucket"]) for row in rows]


async def count(session: AsyncSession, account_ids: Sequence[AccountId], *, at: datetime) -> int:
    """Count what was posted in these accounts, ``ROWS_MAX`` transfers at most, and return how many there were.

    A transfer's ``seq`` has no gaps and is given under the wallet's lock, so whatever is to come is above what is there.
    """
    connection = driver(session)
    await connection.execute(queries.BEGIN_COUNTING, list(account_ids), at)
    due = _due(await connection.fetch(queries.LOCK_COUNTED, list(account_ids)))
    if due:
        ids, after, upto = (list(column) for column in zip(*due, strict=True))
        await connection.execute(queries.COUNT, ids, after, upto)
        await connection.execute(queries.COUNTED, ids, upto, at)
    return sum(upto - after for _, after, upto in due)


async def recount(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    """Forget an account's sums: reports read the ledger alone until it is counted again, from the beginning."""
    await driver(session).execute(queries.BEGIN_COUNTING, [account_id], at)
    await driver(session).execute(queries.UNCOUNT, account_id, at - REST)
    await driver(session).execute(queries.FORGET, account_id)


def _due(rows: Sequence[asyncpg.Record]) -> list[tuple[str, int, int]]:
    """Return (account, counted so far, to be counted up to), as far as one transaction goes."""
    due, left = [], ROWS_MAX
    for row in rows:
        upto = min(row["posted_seq"], row["seq"] + left)
        if upto > row["seq"]:
            due.append((row["account_id"], row["seq"], upto))
            left -= upto - row["seq"]
    return due
