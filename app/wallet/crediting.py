"""Money that comes in without a card: an operator's credit, with a reason."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger
from app.kit.ids import AccountId
from app.ledger import Kind, Movement
from app.wallet import alerts
from app.wallet.renewing import renew_drained


async def open_wallet(session: AsyncSession, *, account_id: AccountId, at: datetime) -> None:
    """Give a new account its wallet, empty, with its warning levels. Harmless to repeat."""
    await ledger.open_wallet(session, account_id=account_id, at=at)
    await alerts.open_levels(session, account_id=account_id)


async def credit_adjustment(
    session: AsyncSession, *, account_id: AccountId, amount: int, reference: str, reason: str, actor: str, at: datetime
) -> None:
    """Add money by hand. ``reference`` names the cause, so that crediting it twice moves once.

    Debt is paid first, then drained holds are renewed, the rest is available.
    """
    wallet = (await ledger.lock_wallets(session, [account_id]))[account_id]
    credit = Movement(
        account_id=account_id,
        kind=Kind.ADJUSTMENT_CREDIT,
        amount=amount,
        idempotency_key=f"adjustment:{reference}",
        at=at,
        actor=actor,
        description=reason,
    )
    for movement in ledger.inflow(credit, owed=wallet.owed):
        await ledger.post(session, movement)
    await renew_drained(session, account_id=account_id, at=at)
    await alerts.cross_levels(session, [account_id], at=at)
