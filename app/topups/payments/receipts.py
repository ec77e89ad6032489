"""Receipts: what a card paid and where it is confirmed, for papers that list payments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId
from app.topups.models import PaymentRow


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was charged for one payment, in micro-dollars, and to which card."""

    charged: int
    tax: int
    brand: str | None
    last4: str | None
    url: str | None


async def find_receipts(
    session: AsyncSession, payment_ids: Sequence[str], *, account_id: AccountId
) -> dict[str, Receipt]:
    """Return the receipts of some of an account's payments, by their ids; those it does not know are left out."""
    if not payment_ids:
        return {}
    rows = await session.execute(
        select(
            PaymentRow.id, PaymentRow.amount, PaymentRow.tax, PaymentRow.brand, PaymentRow.last4, PaymentRow.receipt_url
        ).where(PaymentRow.account_id == account_id, PaymentRow.id.in_(payment_ids))
    )
    return {row[0]: Receipt(*row[1:]) for row in rows}
