"""Opening a wallet, and what the operator does to one by hand, each with a reason."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, ledger
from app.kit.ids import AccountId
from app.ledger import Kind, Movement
from app.wallet import alerts
from app.wallet.noticing import notice
from app.wallet.receiving import receive
from app.wallet.renewing import renew_drained


async def open_wallet(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    """Give a new account its wallet, empty, with its warning levels. Harmless to repeat."""
    await ledger.open_wallet(session, account_id=account_id, at=at)
    await alerts.open_levels(session, account_id=account_id)


async def credit_adjustment(
    session: AsyncSession, *, account_id: AccountId, amount: int, reference: str, reason: str, actor: str, at: datetime
) -> bool:
    """Add money by hand. ``reference`` names the cause, so that crediting it twice moves once.

    Debt is paid first, then drained holds are renewed, the rest is available. Returns whether anything moved.

    Raises:
        KeyReusedError: the reference stands for another amount.
        NoWalletError: there is no such wallet.
    """
    credit = Movement(
        account_id=account_id,
        kind=Kind.ADJUSTMENT_CREDIT,
        amount=amount,
        idempotency_key=f"adjustment:{reference}",
        at=at,
        actor=actor,
        description=reason,
    )
    is_new = await receive(session, credit)
    if is_new:
        told = {"amount_micros": amount, "reference": reference, "reason": reason}
        await audit.write(
            session, audit.Entry(account_id, "wallet.credited", account_id, at, actor=actor, details=told)
        )
    return is_new


async def unfreeze(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    """Let a wallet that was frozen reserve and renew again; the difference in its books has been explained."""
    await ledger.unfreeze(session, account_id=account_id)
    await audit.write(session, audit.Entry(account_id, "wallet.unfrozen", account_id, at))
    await renew_drained(session, account_id=account_id, at=at)
    await notice(session, [account_id], at=at)
