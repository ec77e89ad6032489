"""Money that comes in pays what is owed before anything becomes available."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId
from app.ledger import queries
from app.ledger.errors import KeyReusedError
from app.ledger.kinds import Kind
from app.ledger.posting import Movement, lock_wallet, post_many, transfer_id_of


def inflow(movement: Movement, *, owed: int) -> list[Movement]:
    """Split an inflow so that a debt is paid before anything becomes available. ``owed`` is read under the lock."""
    repaid = min(owed, movement.amount)
    parts = []
    if repaid:
        debt = replace(
            movement,
            kind=Kind.DEBT_REPAID,
            amount=repaid,
            idempotency_key=_debt_key(movement.idempotency_key),
            usage=None,
            paid_from=movement.entry[0],
        )
        parts.append(debt)
    if movement.amount > repaid:
        parts.append(replace(movement, amount=movement.amount - repaid))
    return parts


async def post_inflow(session: AsyncSession, movement: Movement) -> bool:
    """Post money that comes in, a debt being paid before anything becomes available. Once per key.

    Locks the wallet. Returns whether anything moved; a repeat moves nothing, whatever is owed by then.

    Raises:
        KeyReusedError: the key stands for another amount.
        NoWalletError: there is no such wallet.
    """
    wallet = await lock_wallet(session, movement.account_id)
    key = movement.idempotency_key
    if await was_posted(session, account_id=movement.account_id, idempotency_key=key, amount=movement.amount):
        return False
    await post_many(session, inflow(movement, owed=wallet.owed))
    return True


async def was_posted(session: AsyncSession, *, account_id: AccountId, idempotency_key: str, amount: int) -> bool:
    """Say whether a movement that may have been split for a debt was posted. The caller holds the wallet's lock.

    Raises:
        KeyReusedError: the key stands for another amount.
    """
    ids = (transfer_id_of(account_id, key) for key in (idempotency_key, _debt_key(idempotency_key)))
    posted = await driver(session).fetchval(queries.SUM_POSTED, account_id, *ids)
    if posted is not None and posted != amount:
        raise KeyReusedError(idempotency_key)
    return posted is not None


def _debt_key(idempotency_key: str) -> str:
    return f"{idempotency_key}:debt"
