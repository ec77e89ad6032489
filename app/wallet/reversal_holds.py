"""What is held for refunds and disputes. The wallet's lock comes before any of these rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app import lots
from app.kit.db import driver
from app.kit.ids import AccountId, PaymentId

_COLUMNS: Final = (
    "account_id, reference, kind, payment_id, asked, held, debited, returned, state = 'open' AS open, created_at"
)

_FIND: Final = f"SELECT {_COLUMNS} FROM reversal_holds WHERE account_id = $1 AND reference = $2 FOR NO KEY UPDATE"  # noqa: S608 - a constant

_INSERT: Final = """
INSERT INTO reversal_holds (account_id, reference, kind, payment_id, state, asked, held, debited, returned, created_at)
VALUES ($1, $2, $3, $4, 'open', $5, $6, 0, 0, $7)
"""

_SAVE: Final = """
UPDATE reversal_holds SET held = $3, debited = $4, returned = $5, state = CASE WHEN $6::boolean THEN 'open' ELSE 'closed' END,
       closed_at = CASE WHEN $6 THEN NULL ELSE coalesce(closed_at, $7) END
WHERE account_id = $1 AND reference = $2
"""

_IS_DISPUTED: Final = """
SELECT EXISTS (SELECT 1 FROM reversal_holds WHERE account_id = $1 AND state = 'open' AND kind = 'dispute')
"""

_LIST: Final = f"""
SELECT {_COLUMNS} FROM reversal_holds
WHERE account_id = $1 AND state = 'open' AND held > 0 AND ($2::text IS NULL OR reference < $2) ORDER BY reference DESC LIMIT $3
"""  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class ReversalHold:
    """Money held for one refund or dispute, and what came of it, in micro-dollars."""

    account_id: AccountId
    reference: str
    """The refund's or the dispute's id."""
    kind: Literal["refund", "dispute"]
    payment_id: PaymentId
    asked: int
    """What was to be held; for a dispute there may have been less."""
    held: int
    debited: int = 0
    """What has left for it, owed parts included."""
    returned: int = 0
    """What of that came back."""
    open: bool = True
    created_at: datetime | None = None


async def find(session: AsyncSession, *, account_id: AccountId, reference: str) -> ReversalHold | None:
    """Lock and return what is or was held for a refund or a dispute, or None."""
    row = await driver(session).fetchrow(_FIND, account_id, reference)
    return None if row is None else _of(row)


async def find_open(session: AsyncSession, *, account_id: AccountId, reference: str) -> ReversalHold | None:
    """Lock and return a hold that is open, or None."""
    hold = await find(session, account_id=account_id, reference=reference)
    return hold if hold is not None and hold.open else None


async def open_hold(session: AsyncSession, hold: ReversalHold, *, at: datetime) -> None:
    """Write a new hold, and tell the lots of which payment it is."""
    await lots.tie(session, account_id=hold.account_id, reference=hold.reference, payment_id=hold.payment_id)
    await driver(session).execute(
        _INSERT, hold.account_id, hold.reference, hold.kind, hold.payment_id, hold.asked, hold.held, at
    )


async def save(session: AsyncSession, hold: ReversalHold, *, at: datetime) -> None:
    """Write what became of a hold."""
    await driver(session).execute(
        _SAVE, hold.account_id, hold.reference, hold.held, hold.debited, hold.returned, hold.open, at
    )


async def is_disputed(session: AsyncSession, *, account_id: AccountId) -> bool:
    """Say whether a dispute is open."""
    found: bool = await driver(session).fetchval(_IS_DISPUTED, account_id)
    return found


async def list_reversal_holds(
    session: AsyncSession, *, account_id: AccountId, before: str | None = None, limit: int = 50
) -> list[ReversalHold]:
    """Return what is held for refunds and disputes at present, in falling order of their ids."""
    return [_of(row) for row in await driver(session).fetch(_LIST, account_id, before, limit)]


def _of(row: asyncpg.Record) -> ReversalHold:
    return ReversalHold(
        AccountId(row["account_id"]), row["reference"], row["kind"], PaymentId(row["payment_id"]), *row[4:]
    )
