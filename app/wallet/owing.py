"""Debt and promotional credit: what is taken back is never taken from a promotion.

Nothing is available while something is owed. So promotional credit that is left when a debt arises, or comes back from a
rental meanwhile, is withheld, and granted again in the transaction that pays the debt, unless it expired meanwhile.
Everything here works under the wallet's lock, which it takes itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger, lots
from app.kit.ids import AccountId
from app.ledger import Bucket, Kind, Movement

_WITHHELD = "withheld while something is owed"


async def takeable(session: AsyncSession, *, account_id: AccountId) -> int:
    """Return what of the available balance is no promotional credit."""
    wallet = await ledger.lock_wallet(session, account_id)
    book = await lots.advance(session, account_id)
    return wallet.available - sum(free for _, free in _free_promo(wallet, book))


async def take_back(session: AsyncSession, claw: Movement) -> None:
    """Take money for a reversal: from what is available and no promotion; the rest becomes owed.

    Posts ``clawback``, then what is withheld, then ``debt_incurred``. The caller has seen to it that this is new.
    """
    account_id = claw.account_id
    wallet = await ledger.lock_wallet(session, account_id)
    book = await lots.advance(session, account_id)
    free = _free_promo(wallet, book)
    taken = min(claw.amount, wallet.available - sum(amount for _, amount in free))
    movements = [replace(claw, amount=taken)] if taken else []
    if owed := claw.amount - taken:
        movements += await _withhold(session, claw, free, paid_from=Bucket.AVAILABLE)
        debt_key = f"{claw.idempotency_key}:debt"
        movements.append(replace(claw, kind=Kind.DEBT_INCURRED, amount=owed, idempotency_key=debt_key))
    await ledger.post_many(session, movements)
    if owed:
        await lots.advance(session, account_id)


async def post_and_give_back(
    session: AsyncSession, movements: Sequence[Movement], release: Movement | None, *, owed: int
) -> None:
    """Post a hold's movements, then give back what it has no need of, debt first."""
    if release is None or owed:
        await ledger.post_many(session, movements)
    else:
        await ledger.post_many(session, [*movements, release])
    if release is not None and owed:
        await give_hold_back(session, release)


async def give_hold_back(session: AsyncSession, release: Movement) -> None:
    """Release a rental's hold while something is owed: debt first, but not from promotional credit.

    What rentals hold is promotional credit first; so what comes back is what the other holds have no need of.
    """
    account_id = release.account_id
    wallet = await ledger.lock_wallet(session, account_id)
    book = await lots.advance(session, account_id)
    promo = book.unheld_promo(wallet.reserved - book.aside - release.amount)
    plain = release.amount - sum(free for _, free in promo)
    if plain >= wallet.owed:
        await ledger.post_many(session, ledger.inflow(release, owed=wallet.owed))
        await restore(session, account_id=account_id, at=release.at)
        return
    movements = ledger.inflow(replace(release, amount=plain), owed=wallet.owed) if plain else []
    movements += await _withhold(session, release, promo, paid_from=Bucket.RESERVED)
    await ledger.post_many(session, movements)
    await lots.advance(session, account_id)


async def restore(session: AsyncSession, *, account_id: AccountId, at: datetime) -> bool:
    """Grant again what was withheld, if nothing is owed any more; return whether there was anything."""
    if (await ledger.lock_wallet(session, account_id)).owed:
        return False
    withheld = await lots.take_withheld(session, account_id=account_id, at=at)
    if not withheld:
        return False
    book = await lots.advance(session, account_id)
    grants = [
        Movement(
            account_id=account_id,
            kind=Kind.PROMO_GRANT,
            amount=lot.amount,
            idempotency_key=f"promo:{lot.lot_id}:again:{book.seq}",
            at=at,
            description=lot.reason,
            reference=lot.lot_id,
        )
        for lot in withheld
    ]
    await ledger.post_many(session, grants)
    return True


def _free_promo(wallet: ledger.LockedWallet, book: lots.Book) -> list[tuple[lots.Lot, int]]:
    """Return the promotional credit that is available rather than held for rentals."""
    return book.unheld_promo(wallet.reserved - book.aside)


async def _withhold(
    session: AsyncSession, cause: Movement, free: Sequence[tuple[lots.Lot, int]], *, paid_from: Bucket
) -> list[Movement]:
    """Remember so much of these lots as withheld, and return the movements that take it away.

    The caller posts them and counts the lots in the same transaction: until then they have it twice, as left and withheld.
    """
    for lot, amount in free:
        await lots.withhold(session, account_id=cause.account_id, lot_id=lot.id, amount=amount)
    return [
        Movement(
            account_id=cause.account_id,
            kind=Kind.PROMO_EXPIRY,
            amount=amount,
            idempotency_key=f"{cause.idempotency_key}:withhold:{lot.id}",
            at=cause.at,
            description=_WITHHELD,
            rental_id=cause.rental_id,
            paid_from=paid_from,
            reference=lot.id,
        )
        for lot, amount in free
    ]
