"""Another rate for a hold: what ran is charged at the old one to the second, then an hour is held at the new one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.kit.db import driver
from app.kit.ids import AccountId, RentalId
from app.ledger import Kind, LockedWallet, Movement
from app.wallet import owing, queries
from app.wallet.errors import InsufficientBalance, WalletLocked, WalletRestricted
from app.wallet.holds import lock_hold
from app.wallet.meter import Meter
from app.wallet.noticing import notice
from app.wallet.renewing import LOST, meter_of, renew_drained
from app.wallet.settling import paid_up, renewal


async def change_rate(
    session: AsyncSession, *, account_id: AccountId, rental_id: RentalId, rate: int, at: datetime
) -> None:
    """Meter a rental at another rate from ``at`` on. The rate it has already changes nothing.

    A cheaper rate gives back at once what is held beyond an hour of it, debt first. A dearer one needs the rest of an
    hour, all of it.

    Raises:
        InsufficientBalance: the dearer hour is not available, or something is owed; nothing was changed.
        WalletLocked: the wallet is frozen, or a payment is disputed, and more would have to be held.
        LookupError: the rental has no open hold.
    """
    wallet = (await ledger.lock_wallets(session, [account_id]))[account_id]
    row = await lock_hold(session, account_id, rental_id)
    if row["state"] == "closed":
        raise LookupError(f"the hold of {rental_id} is closed")
    before = meter_of(row)
    if rate == before.rate:
        return
    movements, paid = _paid(before, row["state"], wallet, at=at)
    after = paid.at_rate(rate)
    free = wallet.available - sum(moved.amount for moved in movements if moved.kind is Kind.RESERVE_RENEW)
    if more := _grant(after, wallet, free, dearer=rate > before.rate):
        movements.append(renewal(after, more, at=at))
    surplus = after.surplus()
    await owing.post_and_give_back(session, movements, _release(after, surplus, at=at), owed=wallet.owed)
    await _save(session, after._replace(held=after.held - surplus).renewed(more), at=at)
    if surplus:
        await renew_drained(session, account_id=account_id, at=at)
    await notice(session, [account_id], at=at)
    LOST.inc(after.overrun_seconds - before.overrun_seconds)


def _paid(meter: Meter, state: str, wallet: LockedWallet, *, at: datetime) -> tuple[list[Movement], Meter]:
    """Return what is due at the old rate, and the meter after it."""
    if state != "running":
        return [], meter
    paid = paid_up([meter], available=wallet.renewable, at=at)
    return list(paid.movements), paid.meters[0]


def _grant(meter: Meter, wallet: LockedWallet, free: int, *, dearer: bool) -> int:
    """Return what is held in addition: an hour's rest; as far as it goes where the rate is no dearer than it was."""
    wanted = meter.wanted()
    if not dearer:
        return min(wanted, free) if wallet.renewable else 0
    if wanted and wallet.frozen:
        raise WalletLocked
    if wanted and wallet.restricted:
        raise WalletRestricted
    if wanted > free or (wanted and wallet.owed):
        raise InsufficientBalance.of_dearer(required=wanted, available=free, owed=wallet.owed)
    return wanted


def _release(meter: Meter, amount: int, *, at: datetime) -> Movement | None:
    if not amount:
        return None
    return Movement(
        account_id=meter.account_id,
        kind=Kind.RELEASE,
        amount=amount,
        idempotency_key=f"release:{meter.rental_id}:{meter.rate_changes}",
        at=at,
        rental_id=meter.rental_id,
    )


async def _save(session: AsyncSession, meter: Meter, *, at: datetime) -> None:
    runs = meter.started_at is not None
    await driver(session).execute(
        queries.CHANGE_RATE,
        meter.account_id,
        meter.rental_id,
        meter.rate,
        meter.held,
        meter.charged,
        meter.billed_seconds,
        meter.overrun_seconds,
        at if runs else meter.settled_at,
        meter.funded_until,
        meter.ends_at if runs else None,
        meter.ends_because if runs else None,
    )
