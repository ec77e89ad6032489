"""Who an account is at Stripe: one customer, made when first needed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import tenancy
from app.kit.db import driver
from app.kit.ids import AccountId
from app.topups.edge import stripe_of
from app.topups.models import CustomerRow
from app.topups.tools import TopupTools

KEYS_ARE_KEPT: Final = timedelta(hours=23)
"""For how long Stripe surely remembers what was asked with a key."""

_CLAIM: Final = "INSERT INTO customer_owners (customer_id, account_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
"""Without a conflict target: the API may write here and read nothing."""
_NOTHING_NEW: Final = "INSERT 0 0"


class ForeignCustomerError(Exception):
    """Stripe's customer is another account's here."""


async def find_customer(session: AsyncSession, *, account_id: AccountId) -> str | None:
    """Return Stripe's id of an account's customer; None while there is none."""
    return await session.scalar(select(CustomerRow.customer_id).where(CustomerRow.account_id == account_id))


async def ensure_customer(tools: TopupTools, *, account_id: AccountId, at: datetime) -> str:
    """Return Stripe's id of an account's customer, making it first where there is none.

    What Stripe is told of it is written down before, so that every try says the same and makes the same one.
    """
    stripe = stripe_of(tools)
    row = await tools.db.run(lambda session: _written(session, account_id, at), account_id=account_id)
    if row.customer_id is not None:
        return row.customer_id
    made = None
    if row.email and at - row.created_at > KEYS_ARE_KEPT:
        made = await stripe.find_customer(account_id=account_id, email=row.email)
    if made is None:
        made = await stripe.create_customer(account_id=account_id, email=row.email, name=row.name)
    customer_id = made
    return await tools.db.run(lambda session: _keep(session, account_id, customer_id), account_id=account_id)


async def _written(session: AsyncSession, account_id: AccountId, at: datetime) -> CustomerRow:
    found = await session.scalar(select(CustomerRow).where(CustomerRow.account_id == account_id))
    if found is not None:
        return found
    addresses = await tenancy.billing_addresses(session, account_id=account_id)
    email = next((address for address in addresses if _is_plausible(address)), "")
    values = {"account_id": account_id, "email": email, "name": "", "created_at": at}
    await session.execute(insert(CustomerRow).values(values).on_conflict_do_nothing())
    return (await session.scalars(select(CustomerRow).where(CustomerRow.account_id == account_id))).one()


async def _keep(session: AsyncSession, account_id: AccountId, customer_id: str) -> str:
    row = (
        await session.scalars(select(CustomerRow).where(CustomerRow.account_id == account_id).with_for_update())
    ).one()
    if row.customer_id is not None:
        return row.customer_id
    if await driver(session).execute(_CLAIM, customer_id, account_id) == _NOTHING_NEW:
        raise ForeignCustomerError
    row.customer_id = customer_id
    return customer_id


def _is_plausible(address: str) -> bool:
    """Say whether Stripe would take an address: the operator's own account may have none that is real."""
    name, at_sign, domain = address.rpartition("@")
    return bool(name and at_sign and "." in domain.strip(".") and address.isascii() and " " not in address)
