"""Every SELECT and lock of visits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.errors import NotFound
from app.kit.ids import AccountId
from app.topups.models import CheckoutRow


async def get_checkout(session: AsyncSession, *, account_id: AccountId, checkout_id: str) -> CheckoutRow:
    """Return one visit of an account.

    Raises:
        NotFound: the account has no such visit.
    """
    found = await session.get(CheckoutRow, (account_id, checkout_id))
    if found is None:
        raise NotFound("There is no such checkout session.")
    return found


async def list_checkouts(
    session: AsyncSession, *, account_id: AccountId, before: str | None, limit: int
) -> Sequence[CheckoutRow]:
    """Return an account's visits, newest first, those made before one of them."""
    query = select(CheckoutRow).where(CheckoutRow.account_id == account_id)
    if before is not None:
        query = query.where(CheckoutRow.id < before)
    return (await session.scalars(query.order_by(CheckoutRow.id.desc()).limit(limit))).all()


async def lock_checkout(session: AsyncSession, *, account_id: AccountId, checkout_id: str) -> CheckoutRow:
    """Return one visit of an account and hold its row.

    Raises:
        NotFound: the account has no such visit.
    """
    query = select(CheckoutRow).where(CheckoutRow.account_id == account_id, CheckoutRow.id == checkout_id)
    found = await session.scalar(query.with_for_update())
    if found is None:
        raise NotFound("There is no such checkout session.")
    return found


async def find_by_key(session: AsyncSession, *, account_id: AccountId, key: str) -> CheckoutRow | None:
    """Return the visit that an account's key stands for; the key as it is kept."""
    query = select(CheckoutRow).where(CheckoutRow.account_id == account_id, CheckoutRow.idempotency_key == key)
    return await session.scalar(query)


async def find_due(
    session: AsyncSession, *, at: datetime, buckets: Sequence[int], limit: int
) -> Sequence[tuple[AccountId, str]]:
    """Return visits that are to be looked at without being asked, the longest due first: (account, checkout)."""
    query = (
        select(CheckoutRow.account_id, CheckoutRow.id)
        .where(CheckoutRow.next_at <= at, CheckoutRow.bucket.in_(buckets))
        .order_by(CheckoutRow.next_at)
        .limit(limit)
    )
    return [(AccountId(account_id), checkout_id) for account_id, checkout_id in await session.execute(query)]
