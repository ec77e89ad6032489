"""Money that comes in, and money that is taken back: debt first, then the holds that wait for more."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger, lots
from app.kit.ids import AccountId, PaymentId
from app.ledger import Kind, Movement
from app.wallet import owing
from app.wallet.noticing import notice
from app.wallet.renewing import renew_drained


async def receive(session: AsyncSession, movement: Movement) -> bool:
    """Take money in: pay what is owed, renew drained holds, the rest is available. Once per idempotency key.

    With a payment as its reference it becomes that payment's lot of credit. Returns whether anything moved.

    Raises:
        KeyReusedError: the key stands for another movement.
        NoWalletError: there is no such wallet.
    """
    account_id, at = movement.account_id, movement.at
    wallet = await ledger.lock_wallet(session, account_id)
    if not await ledger.post_inflow(session, movement):
        return False
    if wallet.owed:
        await owing.restore(session, account_id=account_id, at=at)
    await renew_drained(session, account_id=account_id, at=at)
    await notice(session, [account_id], at=at)
    return True


async def claw_back(
    session: AsyncSession,
    *,
    account_id: AccountId,
    amount: int,
    reference: str,
    reason: str,
    actor: str,
    at: datetime,
    payment_id: PaymentId | None = None,
    before: int = 0,
) -> bool:
    """Take back a payment that was reversed elsewhere: from what is available and no promotion; the rest becomes owed.

    Once for each reference, or for each part of it: ``before`` is what was taken for it earlier. With the payment named,
    its own money goes first. What is held stays held: running rentals keep the hour they have, then end unless the debt
    is paid. Promotional credit is withheld while something is owed.
    """
    await ledger.lock_wallet(session, account_id)
    key = f"clawback:{reference}:{before}" if before else f"clawback:{reference}"
    if await ledger.was_posted(session, account_id=account_id, idempotency_key=key, amount=amount):
        return False
    if payment_id is not None:
        await lots.tie(session, account_id=account_id, reference=reference, payment_id=payment_id)
    claw = Movement(
        account_id=account_id,
        kind=Kind.CLAWBACK,
        amount=amount,
        idempotency_key=key,
        at=at,
        actor=actor,
        description=reason,
        reference=reference,
    )
    await owing.take_back(session, claw)
    await notice(session, [account_id], at=at)
    return True
