"""Asking for a refund: what of a payment may go back, and holding it. In the caller's transaction; Stripe comes later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger, lots, wallet
from app.kit.errors import NotFound
from app.kit.ids import AccountId, PaymentId, RefundId
from app.topups.models import DisputeRow, PaymentRow, RefundRow
from app.topups.payments.converging import SUCCEEDED
from app.topups.payments.errors import NotRefundable, PaymentDisputed, RefundTooLarge, RefundWindowOver
from app.topups.payments.rows import HELD, INQUIRY
from app.topups.payments.telling import all_of, refund_news, tell
from app.web.errors import IdempotencyMismatch, ValidationFailed

WINDOW: Final = timedelta(days=14)
CENT: Final = 10_000
"""Micro-dollars: cards know nothing smaller."""


@dataclass(frozen=True, slots=True)
class RefundWish:
    """What somebody wants back."""

    payment_id: PaymentId
    amount: int | None
    """Micro-dollars of credit; None for all that can be refunded."""
    reason: str
    idempotency_key: str
    actor: str


@dataclass(frozen=True, slots=True)
class AskedRefund:
    """A refund, and whether it was asked for before with the same key."""

    row: RefundRow
    replayed: bool


async def ask_refund(session: AsyncSession, wish: RefundWish, *, account_id: AccountId, at: datetime) -> AskedRefund:
    """Hold what is to be refunded, and write the refund for the worker to carry out. Once per idempotency key.

    Raises:
        NotFound: there is no such payment.
        NotRefundable, PaymentDisputed, RefundWindowOver: nothing of it can be refunded.
        RefundTooLarge: less of it can be.
        ValidationFailed: the amount has parts of a cent.
        WalletLocked: the wallet is frozen.
        IdempotencyMismatch: the key stands for another refund.
    """
    locked = await ledger.lock_wallet(session, account_id)
    if (known := await _find_asked(session, wish, account_id=account_id)) is not None:
        return AskedRefund(known, replayed=True)
    if locked.frozen:
        raise wallet.WalletLocked
    payment = await _lock_payment(session, wish.payment_id, account_id=account_id)
    free = await refundable(session, payment, account_id=account_id, at=at)
    amount = free if wish.amount is None else wish.amount
    if amount % CENT:
        raise ValidationFailed(errors=[{"pointer": "/amount", "code": "cents", "message": "must be whole cents"}])
    if free == 0:
        raise NotRefundable
    if amount > free:
        raise RefundTooLarge.of(amount=amount, refundable=free)
    row = _written(wish, payment, amount=amount, at=at)
    await wallet.hold_refund(
        session,
        account_id=account_id,
        refund_id=RefundId(row.id),
        payment_id=wish.payment_id,
        amount=amount,
        at=at,
        actor=wish.actor,
    )
    session.add(row)
    await session.flush()
    await tell(session, all_of([refund_news(row, payment, actor=wish.actor)]), account_id=account_id, at=at)
    return AskedRefund(row, replayed=False)


async def refundable(session: AsyncSession, payment: PaymentRow, *, account_id: AccountId, at: datetime) -> int:
    """Return how much of a payment may be refunded now, in whole cents. Locks the wallet.

    The least of what is left of it unspent, what is available and no promotion, and what was not taken back before.

    Raises:
        PaymentDisputed, RefundWindowOver, NotRefundable: nothing, whatever is left of it.
    """
    if payment.status != SUCCEEDED or payment.succeeded_at is None:
        raise NotRefundable("Only a payment that has succeeded can be refunded.")
    if at > payment.succeeded_at + WINDOW:
        raise RefundWindowOver
    if await _is_disputed(session, payment):
        raise PaymentDisputed
    free = await wallet.takeable(session, account_id=account_id)
    left = await lots.unspent(session, account_id=account_id, reference=payment.id)
    held = await _held(session, payment)
    standing = payment.credited - payment.refunded - payment.disputed - held
    return max(0, min(free, left, standing)) // CENT * CENT


def _written(wish: RefundWish, payment: PaymentRow, *, amount: int, at: datetime) -> RefundRow:
    return RefundRow(
        account_id=payment.account_id,
        id=RefundId.new(),
        bucket=payment.bucket,
        payment_id=payment.id,
        amount=amount,
        reason=wish.reason,
        source="ours",
        status="held",
        idempotency_key=wish.idempotency_key,
        created_by=wish.actor,
        created_at=at,
        tries=0,
        next_at=at,
    )


async def _find_asked(session: AsyncSession, wish: RefundWish, *, account_id: AccountId) -> RefundRow | None:
    query = select(RefundRow).where(
        RefundRow.account_id == account_id, RefundRow.idempotency_key == wish.idempotency_key
    )
    row = await session.scalar(query)
    if row is not None and (
        (row.payment_id, row.reason) != (wish.payment_id, wish.reason) or wish.amount not in (None, row.amount)
    ):
        raise IdempotencyMismatch
    return row


async def _lock_payment(session: AsyncSession, payment_id: PaymentId, *, account_id: AccountId) -> PaymentRow:
    query = select(PaymentRow).where(PaymentRow.account_id == account_id, PaymentRow.id == payment_id)
    row = await session.scalar(query.with_for_update())
    if row is None:
        raise NotFound
    return row


async def _is_disputed(session: AsyncSession, payment: PaymentRow) -> bool:
    """Say whether a payment is or was contested in earnest: a mere question can be answered by a refund."""
    query = select(DisputeRow.id).where(
        DisputeRow.account_id == payment.account_id,
        DisputeRow.payment_id == payment.id,
        DisputeRow.phase != INQUIRY,
        DisputeRow.status != "won",
    )
    return await session.scalar(query.limit(1)) is not None


async def _held(session: AsyncSession, payment: PaymentRow) -> int:
    query = select(RefundRow.amount).where(
        RefundRow.account_id == payment.account_id,
        RefundRow.payment_id == payment.id,
        RefundRow.source == "ours",
        RefundRow.status.in_(HELD),
    )
    return sum(await session.scalars(query))
