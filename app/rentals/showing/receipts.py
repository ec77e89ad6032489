"""A settled rental's receipt: its totals from the hold, its lines from the ledger, equal to the micro-dollar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.clock import whole_seconds
from app.kit.db import driver
from app.kit.errors import InvalidState
from app.kit.ids import AccountId
from app.rentals import queries
from app.rentals.asking.schemas import Rate
from app.rentals.models import RunRow
from app.rentals.runs import list_runs
from app.rentals.showing.views import Seen
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


class Stretch(Wire):
    """A stretch of the rental's time, from the first moment that it ran to its end."""

    kind: Literal["ran", "hibernated", "gap"]
    """Only a gap, in which it had no machine, is not billed."""
    began_at: TimeOut
    ended_at: TimeOut
    seconds: int
    attempt: int | None
    """On whose machine."""
    rate_per_hour: MoneyOut
    ended_because: str | None


class Receipt(Wire):
    """What a rental cost, and why."""

    object: Literal["receipt"] = "receipt"
    rental_id: str
    family: str | None
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
    stretches: list[Stretch]
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
        family=seen.priced_by.family or None,
        gpu_count=seen.priced_by.gpu_count,
        rate=Rate.of(row.rate, seen.priced_by, stopped=row.stopped_rate),
        running_at=row.running_at,
        ended_at=row.ended_at,
        settled_at=row.settled_at,
        end_reason=row.end_reason,
        billed_seconds=hold.meter.billed_seconds,
        charged=hold.meter.charged,
        refunded=hold.refunded,
        total=hold.meter.charged - hold.refunded,
        overrun_seconds=hold.meter.overrun_seconds,
        stretches=stretches(await list_runs(session, account_id=account_id, rental_id=row.id), ended_at=row.ended_at),
        lines=shown,
        next_after_seq=shown[-1].seq if len(lines) > len(shown) else None,
    )


def stretches(runs: Sequence[RunRow], *, ended_at: datetime | None) -> list[Stretch]:
    """Return the runs with the gaps between and after them."""
    told: list[Stretch] = []
    end = None
    for run in runs:
        if end is not None and end < run.began_at:
            told.append(_gap(end, run.began_at))
        end = run.ended_at or run.began_at
        told.append(_ran(run, end))
    if end is not None and ended_at is not None and end < ended_at:
        told.append(_gap(end, ended_at))
    return told


def _ran(run: RunRow, ended_at: datetime) -> Stretch:
    return Stretch(
        kind=run.kind,  # type: ignore[arg-type]
        began_at=run.began_at,
        ended_at=ended_at,
        seconds=whole_seconds(run.began_at, ended_at),
        attempt=run.attempt,
        rate_per_hour=run.rate,
        ended_because=run.ended_because,
    )


def _gap(began_at: datetime, ended_at: datetime) -> Stretch:
    return Stretch(
        kind="gap",
        began_at=began_at,
        ended_at=ended_at,
        seconds=whole_seconds(began_at, ended_at),
        attempt=None,
        rate_per_hour=0,
        ended_because=None,
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
