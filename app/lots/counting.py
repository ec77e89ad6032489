"""Lots in the database: brought up to the ledger when somebody asks, under the wallet's lock. The hot path knows nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.kit.db import driver
from app.kit.ids import AccountId, LotId, PaymentId
from app.lots import queries
from app.lots.books import Book, Counted, Lot
from app.lots.folding import fold


async def advance(session: AsyncSession, account_id: AccountId) -> Book:
    """Fold what was posted since the last time into the account's lots, and return them. Locks the wallet.

    Raises:
        NoWalletError: there is no such wallet.
    """
    await ledger.lock_wallet(session, account_id)
    connection = driver(session)
    [told] = await connection.fetch(queries.READ_BOOK, account_id)
    lots = [_lot(row) for row in await connection.fetch(queries.READ_LOTS, account_id)]
    before = Book(told["counted_seq"], told["owed"], told["lent"], told["lent_spent"], lots)
    if before.seq == told["posted_seq"]:
        return before
    transfers = [Counted._make(row) for row in await connection.fetch(queries.READ_SINCE, account_id, before.seq)]
    after = fold(before, transfers, payments=await _payments(session, account_id, transfers))
    after = replace(after, seq=told["posted_seq"])
    await _save(session, account_id, before=before, after=after)
    return after


async def unspent(session: AsyncSession, *, account_id: AccountId, reference: str) -> int:
    """Return what is left of a payment, in micro-dollars: neither spent nor held for a refund. Locks the wallet."""
    return (await advance(session, account_id)).left_of(reference)


async def promo_left(session: AsyncSession, *, account_id: AccountId) -> int:
    """Return what is left of promotional credit, in micro-dollars, held for rentals or not. Locks the wallet."""
    return (await advance(session, account_id)).promo_left


async def tie(session: AsyncSession, *, account_id: AccountId, reference: str, payment_id: PaymentId) -> None:
    """Say of which payment a refund or a dispute is, before anything is posted for it. Harmless to repeat."""
    await driver(session).execute(queries.TIE, account_id, reference, payment_id)


async def _payments(session: AsyncSession, account_id: AccountId, transfers: Sequence[Counted]) -> dict[str, str]:
    references = {transfer.reference for transfer in transfers if transfer.reference}
    if not references:
        return {}
    rows = await driver(session).fetch(queries.READ_PAYMENTS, account_id, list(references))
    return {row["reference"]: row["payment_id"] for row in rows}


async def _save(session: AsyncSession, account_id: AccountId, *, before: Book, after: Book) -> None:
    known = {lot.id: lot for lot in before.lots}
    changed = [lot for lot in after.lots if lot != known.get(lot.id)]
    if changed:
        await driver(session).execute(
            queries.SAVE_LOTS,
            account_id,
            [lot.id for lot in changed],
            [lot.source for lot in changed],
            [lot.reference for lot in changed],
            [lot.granted for lot in changed],
            [lot.remaining for lot in changed],
            [lot.spent for lot in changed],
            [lot.aside for lot in changed],
            [lot.priority for lot in changed],
            [lot.opened_seq for lot in changed],
        )
    await driver(session).execute(queries.SAVE_BOOK, account_id, after.seq, after.owed, after.lent, after.lent_spent)


def _lot(row: asyncpg.Record) -> Lot:
    return Lot(LotId(row["id"]), *row[1:])
