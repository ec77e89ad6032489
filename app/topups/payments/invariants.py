"""What must always be true of payments, refunds and disputes, beside the ledger. For the worker and the tests.

That Stripe says the same is for the daily comparison to find: nothing here leaves the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId
from app.kit.invariants import Broken, broken_among
from app.ledger.invariants import every_account

_HELD: Final = "r.source = 'ours' AND r.status IN ('held', 'submitted', 'unknown')"

_STATEMENT: Final = f"""
WITH p AS (SELECT * FROM payments WHERE account_id = ANY($1::text[])
), r AS (SELECT * FROM refunds WHERE account_id = ANY($1::text[])
), d AS (SELECT * FROM disputes WHERE account_id = ANY($1::text[])
), told AS (
    SELECT account_id, reference, sum(amount) FILTER (WHERE debit = 'funding') AS brought,
           sum(amount) FILTER (WHERE credit = 'funding') AS took,
           sum(CASE 'reserved' WHEN credit THEN amount WHEN debit THEN -amount ELSE 0 END) AS held
    FROM transfers WHERE account_id = ANY($1::text[]) AND reference IS NOT NULL GROUP BY account_id, reference
), of_refunds AS (
    SELECT account_id, payment_id, sum(amount) FILTER (WHERE {_HELD}) AS held,
           sum(amount) FILTER (WHERE r.stripe_refund_id IS NOT NULL AND r.status NOT IN ('failed', 'canceled')) AS taken
    FROM r GROUP BY account_id, payment_id
), of_disputes AS (
    SELECT account_id, payment_id, sum(withdrawn - reinstated) AS taken FROM d GROUP BY account_id, payment_id
)
SELECT 'payment.credit_is_not_in_the_ledger' AS name, p.account_id, p.id AS what
    FROM p LEFT JOIN told t ON t.account_id = p.account_id AND t.reference = p.id WHERE p.credited <> coalesce(t.brought, 0)
UNION ALL SELECT 'payment.credited_without_success', account_id, id FROM p
    WHERE (credited > 0) <> (status = 'succeeded') OR credited NOT IN (0, amount - tax)
UNION ALL SELECT 'payment.refunded_is_not_its_refunds', p.account_id, p.id
    FROM p LEFT JOIN of_refunds f ON f.account_id = p.account_id AND f.payment_id = p.id
    WHERE p.refunded <> coalesce(f.taken, 0)
UNION ALL SELECT 'payment.disputed_is_not_its_disputes', p.account_id, p.id
    FROM p LEFT JOIN of_disputes f ON f.account_id = p.account_id AND f.payment_id = p.id
    WHERE p.disputed <> coalesce(f.taken, 0)
UNION ALL SELECT 'payment.takes_more_than_it_brought', p.account_id, p.id
    FROM p LEFT JOIN of_refunds f ON f.account_id = p.account_id AND f.payment_id = p.id
    WHERE p.refunded + p.disputed + coalesce(f.held, 0) > p.credited
UNION ALL SELECT 'refund.differs_from_the_ledger', r.account_id, r.id
    FROM r LEFT JOIN told t ON t.account_id = r.account_id AND t.reference = r.id
    WHERE CASE WHEN {_HELD} THEN r.amount <> coalesce(t.held, 0) OR t.took IS NOT NULL
               WHEN r.stripe_refund_id IS NULL THEN coalesce(t.held, 0) <> 0 OR t.took IS NOT NULL
               ELSE r.amount <> coalesce(t.took, 0) OR coalesce(t.held, 0) <> 0
                    OR coalesce(t.brought, 0) <> CASE WHEN r.status IN ('failed', 'canceled') THEN r.amount ELSE 0 END
          END
UNION ALL SELECT 'refund.is_not_looked_at', account_id, id FROM r
    WHERE (status IN ('held', 'submitted', 'unknown', 'pending')) <> (next_at IS NOT NULL)
UNION ALL SELECT 'dispute.differs_from_the_ledger', d.account_id, d.id
    FROM d LEFT JOIN told t ON t.account_id = d.account_id AND t.reference = d.id
    WHERE d.withdrawn <> coalesce(t.took, 0) OR d.reinstated <> coalesce(t.brought, 0) OR d.reinstated > d.withdrawn
UNION ALL SELECT 'dispute.inquiry_that_moved_money', d.account_id, d.id FROM d
    JOIN told t ON t.account_id = d.account_id AND t.reference = d.id WHERE d.phase = 'inquiry'
UNION ALL SELECT 'dispute.open_without_a_restriction', d.account_id, d.id FROM d
    JOIN wallets w ON w.account_id = d.account_id WHERE d.phase = 'open' AND w.restricted_at IS NULL
"""  # noqa: S608 - a constant


async def broken(session: AsyncSession, *, account_id: AccountId | None = None) -> list[Broken]:
    """Return the invariants of card money that do not hold: for one account, or for all that the role sees."""
    if account_id is not None:
        return await broken_for(session, [account_id])
    return [found async for accounts in every_account(session) for found in await broken_for(session, accounts)]


async def broken_for(session: AsyncSession, account_ids: Sequence[AccountId]) -> list[Broken]:
    """Return the invariants that do not hold for some accounts."""
    return await broken_among(session, _STATEMENT, account_ids)
