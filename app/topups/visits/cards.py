"""Saved cards: what stands here follows what Stripe says. A card that was taken off never comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, refills, wallet
from app.events import Event, record
from app.kit.db import driver
from app.kit.errors import NotFound
from app.kit.ids import AccountId
from app.topups.customers import find_customer
from app.topups.edge import stripe_of
from app.topups.gateway.errors import StripeMissing
from app.topups.gateway.facts import CardFacts
from app.topups.models import CustomerOwnerRow, PaymentMethodOwnerRow, PaymentMethodRow
from app.topups.tools import TopupTools

log = structlog.get_logger(__name__)

_NOTHING_NEW: Final = "INSERT 0 0"
_CLAIM: Final = "INSERT INTO payment_method_owners (id, account_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
"""Without a conflict target: the API may write here and read nothing."""


async def list_cards(
    session: AsyncSession, *, account_id: AccountId, before: tuple[datetime, str] | None = None, limit: int
) -> Sequence[PaymentMethodRow]:
    """Return an account's cards that can be charged, newest first, those saved before a position."""
    query = select(PaymentMethodRow).where(
        PaymentMethodRow.account_id == account_id, PaymentMethodRow.detached_at.is_(None)
    )
    if before is not None:
        at, method_id = before
        older = (PaymentMethodRow.created_at < at) | (
            (PaymentMethodRow.created_at == at) & (PaymentMethodRow.id < method_id)
        )
        query = query.where(older)
    rows = await session.scalars(
        query.order_by(PaymentMethodRow.created_at.desc(), PaymentMethodRow.id.desc()).limit(limit)
    )
    return rows.all()


async def get_card(session: AsyncSession, method_id: str, *, account_id: AccountId) -> PaymentMethodRow:
    """Return one card of an account that can be charged.

    Raises:
        NotFound: the account has no such card, or no longer.
    """
    found = await session.get(PaymentMethodRow, (account_id, method_id))
    if found is None or found.detached_at is not None:
        raise NotFound("There is no such payment method.")
    return found


async def remove_card(tools: TopupTools, method_id: str, *, account_id: AccountId, at: datetime) -> None:
    """Take a card off an account, at Stripe first.

    Raises:
        NotFound: the account has no such card.
        GatewayError: Stripe did not do it; the card stays.
    """
    await tools.db.run(
        lambda session: get_card(session, method_id, account_id=account_id),
        account_id=account_id,
    )
    await stripe_of(tools).detach_card(method_id)
    await tools.db.run(
        lambda session: _converge(session, _Seen(account_id, (), (method_id,)), at=at), account_id=account_id
    )


async def sync_cards(tools: TopupTools, *, account_id: AccountId, at: datetime) -> None:
    """Let an account's cards here be those that Stripe has of its customer.

    Raises:
        GatewayError: Stripe did not answer; nothing was changed.
    """
    customer_id = await tools.db.run(
        lambda session: find_customer(session, account_id=account_id), account_id=account_id
    )
    if customer_id is None:
        return
    cards = await stripe_of(tools).list_cards(customer_id)
    known = await tools.db.run(lambda session: _known(session, account_id), account_id=account_id)
    # The list may be older than what is known here: who is not in it is asked for by name.
    missing = known - {card.id for card in cards}
    gone = tuple([method_id for method_id in sorted(missing) if await _is_gone(tools, method_id, customer_id)])
    await tools.db.run(
        lambda session: _converge(session, _Seen(account_id, tuple(cards), gone), at=at), account_id=account_id
    )


async def sync_card(tools: TopupTools, method_id: str, *, at: datetime) -> AccountId | None:
    """Do what follows from a change of a card at Stripe; return whose it is, None when it is nobody's here.

    For the worker: it looks for the owner among all accounts.

    Raises:
        GatewayError: Stripe did not answer; nothing was changed.
    """
    account_id = await tools.db.run(lambda session: _owner(session, method_id))
    if account_id is None:
        account_id = await _owner_by_customer(tools, method_id)
    if account_id is not None:
        await sync_cards(tools, account_id=account_id, at=at)
    return account_id


async def sync_setup(tools: TopupTools, setup_intent_id: str, *, at: datetime) -> AccountId | None:
    """Do what follows from the saving of a card; return whose it is, None when it is nobody's here. For the worker.

    Raises:
        GatewayError: Stripe did not answer; nothing was changed.
    """
    try:
        facts = await stripe_of(tools).get_setup(setup_intent_id)
    except StripeMissing:
        return None
    customer_id = facts.customer_id
    if customer_id is None:
        return None
    account_id = await tools.db.run(lambda session: _owner_of_customer(session, customer_id))
    if account_id is not None:
        await sync_cards(tools, account_id=account_id, at=at)
    return account_id


@dataclass(frozen=True, slots=True)
class _Seen:
    account_id: AccountId
    cards: tuple[CardFacts, ...]
    gone: tuple[str, ...]


async def _converge(session: AsyncSession, seen: _Seen, *, at: datetime) -> None:
    account_id = seen.account_id
    await wallet.lock(session, account_id=account_id)
    for card in seen.cards:
        row = await session.get(PaymentMethodRow, (account_id, card.id), populate_existing=True)
        if row is not None:
            row.exp_month, row.exp_year, row.last4 = card.exp_month, card.exp_year, card.last4
            row.fingerprint = card.fingerprint or row.fingerprint
        elif card.customer_id is not None:
            await _add(session, card, card.customer_id, account_id=account_id, at=at)
    for method_id in seen.gone:
        row = await session.get(PaymentMethodRow, (account_id, method_id), populate_existing=True)
        if row is not None and row.detached_at is None:
            row.detached_at = at
            await record(session, _event("payment_method.removed", row, at=at))
            await audit.write(session, _entry("payment_method.removed", row, at=at))
            await refills.note_detached_card(session, account_id=account_id, payment_method_id=method_id, at=at)


async def _add(
    session: AsyncSession, card: CardFacts, customer_id: str, *, account_id: AccountId, at: datetime
) -> None:
    if await driver(session).execute(_CLAIM, card.id, account_id) == _NOTHING_NEW:
        log.error("payment_method.foreign", payment_method_id=card.id, account_id=account_id)
        return
    row = PaymentMethodRow(
        account_id=account_id,
        id=card.id,
        customer_id=customer_id,
        brand=card.brand,
        last4=card.last4,
        exp_month=card.exp_month,
        exp_year=card.exp_year,
        fingerprint=card.fingerprint,
        created_at=at,
        detached_at=None,
    )
    session.add(row)
    await record(session, _event("payment_method.saved", row, at=at))
    await audit.write(session, _entry("payment_method.saved", row, at=at, actor="stripe"))


async def _is_gone(tools: TopupTools, method_id: str, customer_id: str) -> bool:
    try:
        card = await stripe_of(tools).get_card(method_id)
    except StripeMissing:
        return True
    return card is None or card.customer_id != customer_id


async def _known(session: AsyncSession, account_id: AccountId) -> set[str]:
    query = select(PaymentMethodRow.id).where(
        PaymentMethodRow.account_id == account_id, PaymentMethodRow.detached_at.is_(None)
    )
    return set((await session.scalars(query)).all())


async def _owner_by_customer(tools: TopupTools, method_id: str) -> AccountId | None:
    try:
        card = await stripe_of(tools).get_card(method_id)
    except StripeMissing:
        return None
    if card is None or card.customer_id is None:
        return None
    customer_id = card.customer_id
    return await tools.db.run(lambda session: _owner_of_customer(session, customer_id))


async def _owner(session: AsyncSession, method_id: str) -> AccountId | None:
    found = await session.get(PaymentMethodOwnerRow, method_id)
    return None if found is None else AccountId(found.account_id)


async def _owner_of_customer(session: AsyncSession, customer_id: str) -> AccountId | None:
    found = await session.get(CustomerOwnerRow, customer_id)
    return None if found is None else AccountId(found.account_id)


def _event(kind: str, row: PaymentMethodRow, *, at: datetime) -> Event:
    data = {"payment_method_id": row.id, "brand": row.brand, "last4": row.last4}
    return Event(AccountId(row.account_id), row.account_id, kind, at, actor="stripe", data=data)


def _entry(action: str, row: PaymentMethodRow, *, at: datetime, actor: str | None = None) -> audit.Entry:
    """Return what the audit is told: a card is taken off by whoever asks, and saved by what Stripe says."""
    details = {"brand": row.brand, "last4": row.last4}
    return audit.Entry(row.account_id, action, row.id, at, actor=actor, details=details)
