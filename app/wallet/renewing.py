"""Settling running holds: capture what is due, then fill each hold up to a full hour with what is available."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.kit.db import driver
from app.kit.ids import AccountId, RentalId
from app.ledger import Kind, Movement
from app.wallet import alerts, queries
from app.wallet.meter import SETTLE_SECONDS, Meter, share

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
    """Return running holds whose slot lies within ``slots`` (both ends in) and whose period is over."""
    before = at - timedelta(seconds=SETTLE_SECONDS - _SLACK_SECONDS)
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
    settled: list[Meter] = []
    for account_id, meters in _by_account(rows).items():
        moved, after = _settle_account(wallets[account_id], meters, at=at)
        movements += moved
        settled += after
    await ledger.post_many(session, movements)
    await save(session, settled)
    await alerts.cross_levels(session, list(wallets), at=at)
    return len(settled)


async def renew_drained(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    """After an inflow: fill the holds that could not be renewed in full, the soonest to end first.

    The caller holds the wallet's lock.
    """
    rows = await driver(session).fetch(queries.LOCK_DRAINED, account_id)
    if not rows:
        return
    wallet = (await ledger.lock_wallets(session, [account_id]))[account_id]
    if wallet.owed or wallet.frozen:
        return
    meters = [meter_of(row) for row in rows]
    renewals = [(meter, grant) for meter, grant in zip(meters, share(wallet.available, meters), strict=True) if grant]
    await ledger.post_many(session, [_renewal(meter, grant, at=at) for meter, grant in renewals])
    await save(session, [meter.renewed(grant) for meter, grant in renewals])


async def save(session: AsyncSession, meters: Sequence[Meter]) -> None:
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
    )


def capture(before: Meter, after: Meter, *, at: datetime) -> Movement | None:
    """Return the movement between two states of a meter, or None when not a micro-dollar fell due."""
    amount = after.charged - before.charged
    if amount == 0:
        return None
    return Movement(
        account_id=before.account_id,
        kind=Kind.USAGE,
        amount=amount,
        idempotency_key=f"capture:{before.rental_id}:{after.billed_seconds}",
        at=at,
        rental_id=before.rental_id,
        usage=ledger.Usage(rate=before.rate, from_s=before.billed_seconds, to_s=after.billed_seconds),
    )


def meter_of(row: asyncpg.Record) -> Meter:
    """Return a row's meter."""
    return Meter(*(row[name] for name in Meter.__slots__))


def _by_account(rows: Sequence[asyncpg.Record]) -> dict[AccountId, list[Meter]]:
    meters: dict[AccountId, list[Meter]] = defaultdict(list)
    for row in rows:
        meters[AccountId(row["account_id"])].append(meter_of(row))
    return meters


def _settle_account(
    wallet: ledger.LockedWallet, meters: list[Meter], *, at: datetime
) -> tuple[list[Movement], list[Meter]]:
    captured = [meter.captured(at) for meter in meters]
    movements = [m for before, after in zip(meters, captured, strict=True) if (m := capture(before, after, at=at))]
    stopped = wallet.owed > 0 or wallet.frozen
    grants = share(0 if stopped else wallet.available, captured)
    movements += [_renewal(meter, grant, at=at) for meter, grant in zip(captured, grants, strict=True) if grant]
    return movements, [meter.renewed(grant) for meter, grant in zip(captured, grants, strict=True)]


def _renewal(meter: Meter, amount: int, *, at: datetime) -> Movement:
    return Movement(
        account_id=meter.account_id,
        kind=Kind.RESERVE_RENEW,
        amount=amount,
        # What was captured and held before tells one renewal from the next, whatever the clock does.
        idempotency_key=f"renew:{meter.rental_id}:{meter.billed_seconds}:{meter.charged + meter.held}",
        at=at,
        rental_id=meter.rental_id,
    )
