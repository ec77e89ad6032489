"""Settling running holds: capture what is due, then fill each hold up to a full hour with what is available."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.kit.db import driver
from app.kit.ids import AccountId, RentalId
from app.ledger import Movement
from app.wallet import queries, settling
from app.wallet.meter import SETTLE_SECONDS, Meter, share
from app.wallet.noticing import notice

LOST = Counter("hourglass_overrun_seconds", "Seconds that ran past their money since we were late: our loss")

_SLACK_SECONDS = 30
"""A hold settled a little early in the last period is still due in this one."""


@dataclass(frozen=True, slots=True)
class Due:
    """A hold that is due to be settled."""

    account_id: AccountId
    rental_id: RentalId
    bucket: int


async def find_due(
    session: AsyncSession, *, at: datetime, slots: tuple[int, int], buckets: Sequence[int], limit: int
) -> list[Due]:
    """Return running holds whose slot lies within ``slots`` (both ends in) and whose period, or month, is over."""
    before = max(at - timedelta(seconds=SETTLE_SECONDS - _SLACK_SECONDS), settling.month_of(at) - settling.INSTANT)
    rows = await driver(session).fetch(queries.FIND_DUE, *slots, list(buckets), before, limit)
    return [Due(AccountId(row["account_id"]), RentalId(row["rental_id"]), row["bucket"]) for row in rows]


async def settle(session: AsyncSession, due: Sequence[Due], *, at: datetime) -> int:
    """Capture and renew many holds at once: five statements whatever their number. Returns how many were settled.

    Settling twice, late or in another split gives the same total. A wallet that can't refill its holds lets them
    drain; no account's lack of money touches another's.
    """
    wallets = await ledger.lock_wallets(session, [hold.account_id for hold in due])
    rows = await driver(session).fetch(
        queries.LOCK_RUNNING, [hold.account_id for hold in due], [hold.rental_id for hold in due]
    )
    movements: list[Movement] = []
    after: list[Meter] = []
    for account_id, meters in _by_account(rows).items():
        wallet = wallets[account_id]
        settlement = settling.settled(meters, available=wallet.renewable, at=at)
        movements += settlement.movements
        after += settlement.meters
    await ledger.post_many(session, movements)
    await save(session, after, at=at)
    await notice(session, list(wallets), at=at)
    LOST.inc(sum(meter.overrun_seconds for meter in after) - sum(row["overrun_seconds"] for row in rows))
    return len(after)


async def renew_drained(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    """After an inflow: fill the holds that could not be renewed in full, the soonest to end first.

    The caller holds the wallet's lock.
    """
    rows = await driver(session).fetch(queries.LOCK_DRAINED, account_id)
    if not rows:
        return
    wallet = (await ledger.lock_wallets(session, [account_id]))[account_id]
    meters = [meter_of(row) for row in rows]
    # A drained hold found nothing available since it drained: what it ran past its money is lost, not paid by this.
    spent = [meter for meter in meters if meter.unpaid(at) > meter.billable(at) - meter.billed_seconds]
    paid = settling.paid_up(spent, available=0, at=at)
    meters = [meter for meter in meters if meter not in spent] + paid.meters
    grants = share(wallet.renewable, meters)
    renewals = [settling.renewal(meter, grant, at=at) for meter, grant in zip(meters, grants, strict=True) if grant]
    await ledger.post_many(session, paid.movements + renewals)
    await save(session, [meter.renewed(grant) for meter, grant in zip(meters, grants, strict=True)], at=at)


async def save(session: AsyncSession, meters: Sequence[Meter], *, at: datetime) -> None:
    """Write meters back to their holds: one statement."""
    if not meters:
        return
    await driver(session).execute(
        queries.SAVE_METERS,
        [meter.account_id for meter in meters],
        [meter.rental_id for meter in meters],
        [meter.held for meter in meters],
        [meter.charged for meter in meters],
        [meter.billed_seconds for meter in meters],
        [meter.overrun_seconds for meter in meters],
        [meter.settled_at for meter in meters],
        [meter.funded_until for meter in meters],
        [meter.ends_at for meter in meters],
        [meter.ends_because for meter in meters],
        at,
    )


def meter_of(row: asyncpg.Record) -> Meter:
    """Return a row's meter: its first columns."""
    return Meter._make(row[: len(Meter._fields)])


def _by_account(rows: Sequence[asyncpg.Record]) -> dict[AccountId, list[Meter]]:
    meters: dict[AccountId, list[Meter]] = defaultdict(list)
    for row in rows:
        meters[AccountId(row["account_id"])].append(meter_of(row))
    return meters
