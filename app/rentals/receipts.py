"""A settled rental's receipt: its totals from the hold, its lines from the ledger, equal to the micro-dollar."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.errors import InvalidState
from app.kit.ids import AccountId
from app.rentals import queries
from app.rentals.schemas import Rate
from app.rentals.views import Seen
from app.web.schemas import MoneyOut, TimeOut, Wire

_LINES_MAX = 5000


class ReceiptQuery(BaseModel):
    """Which lines are told; the totals are always whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1, le=_LINES_MAX, description="How many lines at most.")] = 1000
    after_seq: Annotated[int, Field(ge=0, le=2**53 - 1, description="Only lines after this one.")] = 0


class ReceiptLine(Wire):
    """One movement of the ledger for this rental."""

    seq: int
    """Its place in the account's ledger."""
    transfer_id: str
    kind: str
    amount: MoneyOut
    at: TimeOut
    rate_per_hour: MoneyOut | None
    from_second: int | None
    to_second: int | None
    """Usage is for these billable seconds of the rental."""
    description: str


class Receipt(Wire):
    """What a rental cost, and why."""

    object: Literal["receipt"] = "receipt"
    rental_id: str
    family: str
    gpu_count: int
    rate: Rate
    running_at: TimeOut | None
    ended_at: TimeOut | None
    settled_at: TimeOut
    end_reason: str | None
    billed_seconds: int
    charged: MoneyOut
    refunded: MoneyOut
    total: MoneyOut
    """``charged`` less ``refunded``."""
    overrun_seconds: int
    """Seconds that ran past the reserve, because we were late: not charged."""
    lines: list[ReceiptLine]
    next_after_seq: int | None
    """For the lines that follow; null when these are the last."""


async def receipt_of(session: AsyncSession, seen: Seen, query: ReceiptQuery, *, account_id: AccountId) -> Receipt:
    """Return the receipt of a rental that is settled.

    Raises:
        InvalidState: it is not settled yet.
    """
    row, hold = seen.row, seen.hold
    if row.settled_at is None:
        raise InvalidState("The rental is not settled yet; GET …/meter shows what it costs so far.")
    lines = await _lines(session, row.id, query, account_id=account_id)
    shown = lines[: query.limit]
    return Receipt(
        rental_id=row.id,
        family=seen.priced_by.family,
        gpu_count=seen.priced_by.gpu_count,
        rate=Rate.of(row.rate, seen.priced_by),
        running_at=row.running_at,
        ended_at=row.ended_at,
        settled_at=row.settled_at,
        end_reason=row.end_reason,
        billed_seconds=hold.meter.billed_seconds,
        charged=hold.meter.charged,
        refunded=hold.refunded,
        total=hold.meter.charged - hold.refunded,
        overrun_seconds=hold.meter.overrun_seconds,
        lines=shown,
        next_after_seq=shown[-1].seq if len(lines) > len(shown) else None,
    )


async def _lines(
    session: AsyncSession, rental_id: str, query: ReceiptQuery, *, account_id: AccountId
) -> list[ReceiptLine]:
    rows = await driver(session).fetch(queries.LIST_TRANSFERS, account_id, rental_id, query.after_seq, query.limit + 1)
    return [
        ReceiptLine(
            seq=row["seq"],
            transfer_id=row["id"],
            kind=row["kind"],
            amount=row["amount"],
            at=row["effective_at"],
            rate_per_hour=row["rate"],
            from_second=row["from_s"],
            to_second=row["to_s"],
            description=row["description"],
        )
        for row in rows
    ]
