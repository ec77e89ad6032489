"""Reading an account's payments, refunds and disputes; ids are ordered by the time they were made."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId, PaymentId, RefundId
from app.topups.models import DisputeRow, PaymentRow, RefundRow


async def find_payment(session: AsyncSession, payment_id: PaymentId, *, account_id: AccountId) -> PaymentRow | None:
    """Return one payment of an account, or None."""
    found: PaymentRow | None = await session.scalar(
        select(PaymentRow).where(PaymentRow.account_id == account_id, PaymentRow.id == payment_id)
    )
    return found


async def find_refund(session: AsyncSession, refund_id: RefundId, *, account_id: AccountId) -> RefundRow | None:
    """Return one refund of an account, or None."""
    found: RefundRow | None = await session.scalar(
        select(RefundRow).where(RefundRow.account_id == account_id, RefundRow.id == refund_id)
    )
    return found


async def list_payments(
    session: AsyncSession, *, account_id: AccountId, status: str | None, before: str | None, limit: int
) -> Sequence[PaymentRow]:
    """Return payments, newest first, those made before a position."""
    query = select(PaymentRow).where(PaymentRow.account_id == account_id)
    if status is not None:
        query = query.where(PaymentRow.status == status)
    if before is not None:
        query = query.where(PaymentRow.id < before)
    return (await session.scalars(query.order_by(PaymentRow.id.desc()).limit(limit))).all()


async def list_refunds(
    session: AsyncSession, *, account_id: AccountId, payment_id: str | None, before: str | None, limit: int
) -> Sequence[RefundRow]:
    """Return refunds, newest first, those made before a position."""
    query = select(RefundRow).where(RefundRow.account_id == account_id)
    if payment_id is not None:
        query = query.where(RefundRow.payment_id == payment_id)
    if before is not None:
        query = query.where(RefundRow.id < before)
    return (await session.scalars(query.order_by(RefundRow.id.desc()).limit(limit))).all()


async def list_disputes(
    session: AsyncSession, *, account_id: AccountId, payment_id: str | None, before: str | None, limit: int
) -> Sequence[DisputeRow]:
    """Return disputes, newest first, those seen before a position."""
    query = select(DisputeRow).where(DisputeRow.account_id == account_id)
    if payment_id is not None:
        query = query.where(DisputeRow.payment_id == payment_id)
    if before is not None:
        query = query.where(DisputeRow.id < before)
    return (await session.scalars(query.order_by(DisputeRow.id.desc()).limit(limit))).all()
