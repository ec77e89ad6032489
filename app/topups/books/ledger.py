"""What our side has on record of card payments: the rows of this room, and what the ledger moved for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database, driver
from app.kit.ids import AccountId
from app.ledger.references import list_funded, net_funding
from app.topups.books.comparing import PaymentBooks

_OWNER: Final = "SELECT account_id, payment_id FROM payment_owners WHERE payment_intent_id = $1"
_REFUNDS: Final = """
SELECT id, stripe_refund_id FROM refunds WHERE account_id = $1 AND payment_id = $2 AND stripe_refund_id IS NOT NULL
"""
_DISPUTES: Final = "SELECT id, stripe_dispute_id FROM disputes WHERE account_id = $1 AND payment_id = $2"

# A reference's prefix tells whose it is: pay_, rfd_ or dsp_.
_PAYMENTS_OF: Final = """
WITH named AS (SELECT * FROM unnest($1::text[], $2::text[]) AS named(account_id, reference))
SELECT n.account_id, n.reference, p.payment_intent_id FROM named n
LEFT JOIN refunds r ON r.account_id = n.account_id AND r.id = n.reference
LEFT JOIN disputes d ON d.account_id = n.account_id AND d.id = n.reference
LEFT JOIN payments p ON p.account_id = n.account_id AND p.id = coalesce(r.payment_id, d.payment_id, n.reference)
"""


@dataclass(frozen=True, slots=True)
class Touched:
    """What the ledger moved card money for, in a span of time."""

    payment_intent_ids: frozenset[str]
    dangling: tuple[tuple[AccountId, str], ...]
    """References of which this room has no record."""


async def read_books(session: AsyncSession, payment_intent_id: str) -> PaymentBooks:
    """Return what we have on record of one payment at Stripe."""
    connection = driver(session)
    owner = await connection.fetchrow(_OWNER, payment_intent_id)
    if owner is None:
        return PaymentBooks()
    account_id, payment_id = AccountId(owner["account_id"]), owner["payment_id"]
    refunds = {row["stripe_refund_id"]: row["id"] for row in await connection.fetch(_REFUNDS, account_id, payment_id)}
    disputes = {
        row["stripe_dispute_id"]: row["id"] for row in await connection.fetch(_DISPUTES, account_id, payment_id)
    }
    references = [payment_id, *refunds.values(), *disputes.values()]
    net = await net_funding(session, account_id=account_id, references=references)
    return PaymentBooks(account_id, payment_id, refunds, disputes, net)


async def find_touched(db: Database, *, since: datetime, until: datetime) -> Touched:
    """Return every payment for which the ledger moved card money in a span of time."""
    found: set[str] = set()
    dangling: list[tuple[AccountId, str]] = []
    async for funded in list_funded(db, since=since, until=until):
        async with db.begin_unscoped() as session:
            names = zip(*funded, strict=True)
            rows = await driver(session).fetch(_PAYMENTS_OF, *(list(column) for column in names))
        for row in rows:
            if row["payment_intent_id"] is None:
                dangling.append((AccountId(row["account_id"]), row["reference"]))
            else:
                found.add(row["payment_intent_id"])
    return Touched(frozenset(found), tuple(dangling))
