"""Money that comes in, and money that is taken back: debt first, then the holds that wait for more."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.kit.ids import AccountId
from app.ledger import Kind, Movement
from app.wallet.noticing import notice
from app.wallet.renewing import renew_drained


async def receive(session: AsyncSession, movement: Movement) -> bool:
    """Take money in: pay what is owed, renew drained holds, the rest is available. Once per idempotency key.

    Returns whether anything moved.

    Raises:
        KeyReusedError: the key stands for another movement.
        NoWalletError: there is no such wallet.
    """
    account_id, at = movement.account_id, movement.at
    if not await ledger.post_inflow(session, movement):
        return False
    await renew_drained(session, account_id=account_id, at=at)
    await notice(session, [account_id], at=at)
    return True


async def claw_back(
    session: AsyncSession, *, account_id: AccountId, amount: int, reference: str, reason: str, actor: str, at: datetime
) -> bool:
    """Take back a payment that was reversed elsewhere: from what is available, the rest becomes owed. Once only.

    What is held stays held: running rentals keep the hour they have, then end unless the debt is paid.
    """
    wallet = await ledger.lock_wallet(session, account_id)
    key = f"clawback:{reference}"
    if await ledger.was_posted(session, account_id=account_id, idempotency_key=key, amount=amount):
        return False
    taken = min(wallet.available, amount)
    movements = [
        Movement(account_id, kind, part, part_key, at, actor=actor, description=reason)
        for kind, part, part_key in (
            (Kind.CLAWBACK, taken, key),
            (Kind.DEBT_INCURRED, amount - taken, f"{key}:debt"),
        )
        if part
    ]
    await ledger.post_many(session, movements)
    await notice(session, [account_id], at=at)
    return True
