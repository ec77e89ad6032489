"""Payments of a month: the ledger says what they brought, the payments themselves where their receipts are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database, driver
from app.statements import queries
from app.statements.summing import Span
from app.topups import Receipt, find_receipts

_READ_AT_ONCE = 500
_BEFORE_THE_FIRST = "pay_"


@dataclass(frozen=True, slots=True)
class Paid:
    """One payment as a month's statement tells it. Amounts in micro-dollars."""

    payment_id: str
    at: datetime
    credited: int
    charged: int | None = None
    tax: int | None = None
    brand: str | None = None
    last4: str | None = None
    receipt_url: str | None = None

    @property
    def card(self) -> str:
        """Return the card in a person's words, or nothing."""
        return f"{(self.brand or 'card').capitalize()} {self.last4}" if self.last4 else ""


async def list_paid(session: AsyncSession, span: Span, *, after: str = _BEFORE_THE_FIRST, limit: int) -> list[Paid]:
    """Return payments whose credit came in a month, oldest first, after one of them."""
    rows = await driver(session).fetch(queries.LIST_PAID, *span.bounds, after, limit)
    receipts = await find_receipts(session, [row["reference"] for row in rows], account_id=span.account_id)
    return [_paid(row, receipts.get(row["reference"])) for row in rows]


async def every_payment(db: Database, span: Span) -> AsyncIterator[Sequence[Paid]]:
    """Yield all of them, oldest first, some at a time, each from a short transaction."""
    after = _BEFORE_THE_FIRST
    while True:
        async with db.begin(span.account_id) as session:
            found = await list_paid(session, span, after=after, limit=_READ_AT_ONCE)
        if found:
            yield found
        if len(found) < _READ_AT_ONCE:
            return
        after = found[-1].payment_id


def _paid(row: asyncpg.Record, receipt: Receipt | None) -> Paid:
    paid = Paid(*row)
    if receipt is None:
        return paid
    return replace(
        paid,
        charged=receipt.charged,
        tax=receipt.tax,
        brand=receipt.brand,
        last4=receipt.last4,
        receipt_url=receipt.url,
    )
