"""Holds: one rental's money, from reserve to release. Each function works inside the caller's transaction.

Order of locks: the wallet first, then the hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger, lots
from app.kit.db import driver
from app.kit.ids import AccountId, RentalId
from app.kit.leases import bucket_of
from app.ledger import Kind, Movement
from app.wallet import owing, queries
from app.wallet.errors import InsufficientBalance, WalletLocked, WalletRestricted
from app.wallet.meter import Meter, slot_of
from app.wallet.noticing import notice
from app.wallet.receiving import receive
from app.wallet.renewing import LOST, meter_of, renew_drained, save
from app.wallet.settling import paid_up


@dataclass(frozen=True, slots=True)
class Settled:
    """What a rental cost in the end. Amounts in micro-dollars."""

    billed_seconds: int
    charged: int
    released: int
    overrun_seconds: int
    at: datetime


async def hold(
    session: AsyncSession,
    *,
    account_id: AccountId,
    rental_id: RentalId,
    rate: int,
    at: datetime,
    actor: str,
    max_spend: int | None = None,
) -> ledger.Balances:
    """Reserve one hour at ``rate`` (or ``max_spend``, if that is less) for a rental that is about to begin.

    Raises:
        InsufficientBalance: less is available, or something is owed; nothing was changed.
        WalletLocked: the wallet is frozen, or a payment is disputed.
    """
    amount = rate if max_spend is None else min(rate, max_spend)
    try:
        balances = await ledger.reserve(
            session, account_id=account_id, rental_id=rental_id, amount=amount, at=at, actor=actor
        )
    except ledger.OverdrawnError as short:
        raise InsufficientBalance.of(required=amount, available=short.available, owed=short.owed) from None
    except ledger.FrozenError:
        raise WalletLocked from None
    except ledger.RestrictedError:
        raise WalletRestricted from None
    await driver(session).execute(
        queries.INSERT_HOLD, account_id, rental_id, bucket_of(account_id), rate, amount, max_spend, at
    )
    if balances.alert_due:
        await notice(session, [account_id], at=at)
    return balances


async def lock(session: AsyncSession, *, account_id: AccountId) -> None:
    """Lock an account's wallet until the transaction ends: before any lock on its rentals."""
    await ledger.lock_wallets(session, [account_id])


async def start(session: AsyncSession, *, account_id: AccountId, rental_id: RentalId, at: datetime) -> None:
    """Begin to meter: the machine has passed its check at ``at``. Harmless to repeat."""
    await ledger.lock_wallets(session, [account_id])
    row = await lock_hold(session, account_id, rental_id)
    if row["state"] != "waiting":
        return
    meter = meter_of(row)._replace(started_at=at, settled_at=at).renewed(0)
    await driver(session).execute(
        queries.START, account_id, rental_id, at, slot_of(at), meter.funded_until, meter.ends_at, meter.ends_because
    )
    if meter.ends_at is not None:  # what an earlier run left is less than an hour
        await renew_drained(session, account_id=account_id, at=at)
    await notice(session, [account_id], at=at)


async def pause(
    session: AsyncSession,
    *,
    account_id: AccountId,
    rental_id: RentalId,
    at: datetime,
    billable_until: datetime | None = None,
) -> None:
    """Capture up to ``billable_until`` (or ``at``) and stop metering, keeping the hold: the machine was interrupted.

    Seconds beyond it that were captured already count as the first of the next run. If there is none, they go back by
    ``refund_host_fault``.
    """
    wallet = (await ledger.lock_wallets(session, [account_id]))[account_id]
    row = await lock_hold(session, account_id, rental_id)
    if row["state"] != "running":
        return
    end = at if billable_until is None else min(at, billable_until)
    paid = paid_up([meter_of(row)], available=wallet.renewable, at=end)
    await ledger.post_many(session, paid.movements)
    await save(session, paid.meters, at=at)
    await driver(session).execute(queries.PAUSE, account_id, rental_id, paid.meters[0].elapsed(end))
    await notice(session, [account_id], at=at)


async def close(
    session: AsyncSession, *, account_id: AccountId, rental_id: RentalId, at: datetime, billable_until: datetime
) -> Settled:
    """Capture the last billable second and give the rest back, debt first. A hold that never ran costs nothing.

    ``billable_until`` is when the stop was accepted or the host was last known good. Closing again returns the same.
    """
    wallet = (await ledger.lock_wallets(session, [account_id]))[account_id]
    row = await lock_hold(session, account_id, rental_id)
    before = meter_of(row)
    if row["state"] == "closed":
        return Settled(before.billed_seconds, before.charged, 0, before.overrun_seconds, row["closed_at"])
    movements: list[Movement] = []
    after = before
    if row["state"] == "running":
        paid = paid_up([before], available=wallet.renewable, at=billable_until)
        movements, [after] = paid.movements, paid.meters
    await owing.post_and_give_back(session, movements, _release(after, at=at), owed=wallet.owed)
    await driver(session).execute(
        queries.CLOSE, account_id, rental_id, after.charged, after.billed_seconds, after.overrun_seconds, at
    )
    await renew_drained(session, account_id=account_id, at=at)
    await notice(session, [account_id], at=at)
    LOST.inc(after.overrun_seconds - before.overrun_seconds)
    return Settled(after.billed_seconds, after.charged, after.held, after.overrun_seconds, at)


async def refund_host_fault(
    session: AsyncSession,
    *,
    account_id: AccountId,
    rental_id: RentalId,
    at: datetime,
    reason: str,
    good_until: datetime | None = None,
) -> int:
    """Give back what a hold was charged since its host failed: all, or what was used after ``good_until``.

    For one that is closed, or waits: what runs after that is charged from its first second on, whatever its rate.
    Returns micro-dollars; what was given back once is not given again.
    """
    await ledger.lock_wallets(session, [account_id])
    row = await lock_hold(session, account_id, rental_id)
    return await forgive(
        session, row, 0 if good_until is None else meter_of(row).elapsed(good_until), at=at, reason=reason
    )


async def forgive(session: AsyncSession, row: asyncpg.Record, good_seconds: int, *, at: datetime, reason: str) -> int:
    """Give back what a hold was charged beyond so many seconds, paid or lost, once; the caller holds its lock.

    Where it waits, what runs after that is charged from its first second on. Returns micro-dollars.
    """
    account_id, rental_id, meter = AccountId(row["account_id"]), RentalId(row["rental_id"]), meter_of(row)
    kept = max(0, min(meter.billed_seconds, good_seconds - meter.overrun_seconds))
    deserved = meter.charged - await _cost(session, meter, kept)
    amount: int = max(0, deserved - (row["refunded"] - row["forgiven"]))
    if amount:
        await _give_back(session, row, amount, at=at, reason=reason)
    await driver(session).execute(queries.FORGIVE, account_id, rental_id)
    return amount


async def _give_back(session: AsyncSession, row: asyncpg.Record, amount: int, *, at: datetime, reason: str) -> None:
    account_id, rental_id = AccountId(row["account_id"]), RentalId(row["rental_id"])
    refund = Movement(
        account_id=account_id,
        kind=Kind.HOST_FAULT_REFUND,
        amount=amount,
        idempotency_key=f"host_fault:{rental_id}:{row['refunded']}",
        at=at,
        description=reason,
        rental_id=rental_id,
    )
    await receive(session, refund)
    await lots.advance(session, account_id)  # a promotion that has expired may be among it: its expiry is due again
    await driver(session).execute(queries.REFUND, account_id, rental_id, amount)


async def lock_hold(session: AsyncSession, account_id: AccountId, rental_id: RentalId) -> asyncpg.Record:
    """Return a hold's row under its lock; the wallet has been locked before.

    Raises:
        LookupError: the rental has none.
    """
    row = await driver(session).fetchrow(queries.LOCK_HOLD, account_id, rental_id)
    if row is None:
        raise LookupError(f"{rental_id} has no hold")
    return row


def _release(meter: Meter, *, at: datetime) -> Movement | None:
    if not meter.held:
        return None
    return Movement(
        account_id=meter.account_id,
        kind=Kind.RELEASE,
        amount=meter.held,
        idempotency_key=f"release:{meter.rental_id}",
        at=at,
        rental_id=meter.rental_id,
    )


async def _cost(session: AsyncSession, meter: Meter, seconds: int) -> int:
    """Return what the first seconds of a rental cost, also those at earlier rates."""
    if seconds >= meter.earlier_seconds:
        return meter.cost(seconds)
    cost: int = await driver(session).fetchval(queries.CHARGED_UP_TO, meter.account_id, meter.rental_id, seconds)
    return cost
