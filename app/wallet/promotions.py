"""Promotional credit: granted once per cause, spent first, and gone when it expires unless a rental holds it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, ledger, lots
from app.kit.db import driver
from app.kit.ids import AccountId, RentalId
from app.ledger import Kind, Movement
from app.wallet import queries
from app.wallet.meter import SETTLE_SECONDS
from app.wallet.noticing import notice
from app.wallet.renewing import Due, renew_drained, settle

_LOOK_AGAIN = timedelta(seconds=SETTLE_SECONDS)
"""How long what is held is left alone before its expiry is looked after again."""


async def grant_promo(
    session: AsyncSession,
    *,
    account_id: AccountId,
    amount: int,
    reference: str,
    reason: str,
    actor: str,
    at: datetime,
    expires_at: datetime | None = None,
    priority: int = lots.DEFAULT_PRIORITY,
) -> bool:
    """Grant promotional credit. ``reference`` names the cause, so that granting it twice moves once.

    It pays no debt: while something is owed it is withheld, and comes when the debt is paid. Among promotions the lower
    ``priority`` is spent first. Returns whether this was new.

    Raises:
        KeyReusedError: the reference stands for another amount.
        NoWalletError: there is no such wallet.
        ValueError: it would have expired already.
    """
    if expires_at is not None and expires_at <= at:
        raise ValueError("a grant expires after it is given")
    wallet = await ledger.lock_wallet(session, account_id)
    granted = await lots.find_granted(session, account_id=account_id, reference=reference)
    if granted is not None:
        if granted != amount:
            raise ledger.KeyReusedError(reference)
        return False
    grant = lots.Grant(amount, reference, reason, expires_at, priority)
    lot_id = await lots.open_promo(session, grant, account_id=account_id, withheld=wallet.owed > 0, at=at)
    await audit.write(session, _granted(grant, lot_id, account_id=account_id, actor=actor, at=at))
    if wallet.owed:
        return True
    await ledger.post(session, _movement(grant, lot_id, account_id=account_id, actor=actor, at=at))
    await renew_drained(session, account_id=account_id, at=at)
    await notice(session, [account_id], at=at)
    return True


async def expire_promo(session: AsyncSession, *, account_id: AccountId, at: datetime) -> int:
    """Take away what is left of promotional credit that has expired; return micro-dollars.

    What runs is settled first, so that what was used in time was used. What rentals hold stays spendable, and expires
    when it is released unused: the look after it is due again in ten minutes.
    """
    await ledger.lock_wallet(session, account_id)
    await _settle(session, account_id=account_id, at=at)
    wallet = await ledger.lock_wallet(session, account_id)
    book = await lots.advance(session, account_id)
    movements = [
        Movement(
            account_id=account_id,
            kind=Kind.PROMO_EXPIRY,
            amount=free,
            idempotency_key=f"promo:{lot.id}:expiry:{book.seq}",
            at=at,
            description="expired",
            reference=lot.id,
        )
        for lot, free in book.unheld_promo(wallet.reserved - book.aside)
        if lot.expires_at is not None and lot.expires_at <= at
    ]
    await ledger.post_many(session, movements)
    await lots.forget_expired(session, account_id=account_id, at=at)
    await lots.advance(session, account_id)
    await lots.looked_after(session, account_id=account_id, at=at, again_at=at + _LOOK_AGAIN)
    await notice(session, [account_id], at=at)
    expired = sum(movement.amount for movement in movements)
    if expired:
        entry = audit.Entry(
            account_id, "wallet.promo_expired", account_id, at, actor=audit.SYSTEM, details={"amount_micros": expired}
        )
        await audit.write(session, entry)
    return expired


def _movement(grant: lots.Grant, lot_id: str, *, account_id: AccountId, actor: str, at: datetime) -> Movement:
    return Movement(
        account_id=account_id,
        kind=Kind.PROMO_GRANT,
        amount=grant.amount,
        idempotency_key=f"promo:{grant.reference}",
        at=at,
        actor=actor,
        description=grant.reason,
        reference=lot_id,
    )


def _granted(grant: lots.Grant, lot_id: str, *, account_id: AccountId, actor: str, at: datetime) -> audit.Entry:
    told = {
        "amount_micros": grant.amount,
        "reference": grant.reference,
        "reason": grant.reason,
        "expires_at": grant.expires_at,
    }
    return audit.Entry(account_id, "wallet.promo_granted", lot_id, at, actor=actor, details=told)


async def _settle(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    rows = await driver(session).fetch(queries.LIST_RUNNING, account_id)
    due = [Due(account_id, RentalId(row["rental_id"]), row["bucket"]) for row in rows]
    if due:
        await settle(session, due, at=at)
