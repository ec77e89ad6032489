"""Seals: a hash chain over each account's transfers, so that a row changed behind our back is found.

The chain starts from the account's id; each link is SHA-256 of the link before and of every column of one row. A seal
stores the link at a ``seq``, and the next seal goes on from there. Columns that came later are left
out from the end on while they are empty, so that what was sealed before there were any still verifies.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId
from app.ledger import queries
from app.ledger.kinds import Bucket, deltas

_ROWS_MAX = 2_000
_FIRST_COLUMNS = 19
"""Those that every row has been hashed with from the beginning."""
_Seal = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Verified:
    """What ``verify`` found in one account's ledger."""

    rows: int
    """How many transfers were read."""
    seals: int
    """How many seals were recomputed and agreed."""
    ok: bool
    first_bad_seq: int | None
    """Where the trouble begins: a gap, a wrong balance, or the first row under a seal that does not agree."""


async def seal(session: AsyncSession, *, account_id: AccountId, at: datetime) -> int:
    """Seal the transfers since the account's last seal; return how many. Sealing twice adds nothing."""
    last = await driver(session).fetchrow(queries.LAST_SEAL, account_id)
    start, link = (last["last_seq"], last["hash"]) if last else (0, _origin(account_id))
    seq = start
    async for row in _rows(session, account_id, after=start):
        seq, link = row["seq"], _next(link, row)
    if seq > start:
        await driver(session).execute(queries.INSERT_SEAL, account_id, seq, link, at)
    return seq - start


async def find_unsealed(session: AsyncSession, *, buckets: Sequence[int], limit: int) -> list[AccountId]:
    """Return accounts of these buckets that have transfers after their last seal."""
    rows = await driver(session).fetch(queries.FIND_UNSEALED, list(buckets), limit)
    return [AccountId(row["account_id"]) for row in rows]


async def verify(session: AsyncSession, *, account_id: AccountId) -> Verified:
    """Read an account's whole ledger, recompute its chain and its balances, and compare with what is stored."""
    seals: list[_Seal] = [tuple(row) for row in await driver(session).fetch(queries.LIST_SEALS, account_id)]
    link, rows, agreed, under = _origin(account_id), 0, 0, 1
    folded = (0, 0, 0)
    async for row in _rows(session, account_id, after=0):
        rows, link = rows + 1, _next(link, row)
        folded = _fold(folded, row)
        if row["seq"] != rows or folded != (row["available_after"], row["reserved_after"], row["owed_after"]):
            return Verified(rows, agreed, ok=False, first_bad_seq=rows)
        if agreed < len(seals) and seals[agreed][0] == rows:
            if seals[agreed][1] != link:
                return Verified(rows, agreed, ok=False, first_bad_seq=under)
            agreed, under = agreed + 1, rows + 1
    ok = agreed == len(seals)
    return Verified(rows, agreed, ok=ok, first_bad_seq=None if ok else rows + 1)


def canonical(row: asyncpg.Record) -> bytes:
    """Return every column of a transfer as bytes that are the same on every machine for ever."""
    told = len(row)
    while told > _FIRST_COLUMNS and row[told - 1] is None:
        told -= 1
    values = [_plain(value) for value in row[:told]]
    return json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode()


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value


def _origin(account_id: AccountId) -> bytes:
    return hashlib.sha256(b"hourglass ledger " + account_id.encode()).digest()


def _next(link: bytes, row: asyncpg.Record) -> bytes:
    return hashlib.sha256(link + canonical(row)).digest()


def _fold(balances: tuple[int, int, int], row: asyncpg.Record) -> tuple[int, int, int]:
    changes = deltas(Bucket(row["debit"]), Bucket(row["credit"]), row["amount"])
    return (balances[0] + changes[0], balances[1] + changes[1], balances[2] + changes[2])


async def _rows(session: AsyncSession, account_id: AccountId, *, after: int) -> AsyncIterator[asyncpg.Record]:
    while True:
        rows = await driver(session).fetch(queries.READ_ROWS, account_id, after, _ROWS_MAX)
        for row in rows:
            yield row
        if len(rows) < _ROWS_MAX:
            return
        after = rows[-1]["seq"]
