"""What must always be true of lots, at the transfer up to which an account is counted. For the worker and the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId
from app.kit.invariants import Broken, broken_among
from app.ledger.invariants import every_account

_STATEMENT: Final = """
WITH l AS (
    SELECT account_id, sum(remaining) AS remaining, sum(spent) AS spent, sum(aside) AS aside, sum(withheld) AS withheld
    FROM credit_lots WHERE account_id = ANY($1::text[]) GROUP BY account_id
), b AS (
    SELECT b.*, coalesce(l.remaining, 0) AS remaining, coalesce(l.spent, 0) AS spent, coalesce(l.aside, 0) AS aside,
           t.available_after + t.reserved_after AS total, t.owed_after, s.spend, s.reversed_held
    FROM credit_books b LEFT JOIN l USING (account_id)
    JOIN transfers t ON t.account_id = b.account_id AND t.seq = b.counted_seq,
    LATERAL (
        SELECT sum(CASE 'spend' WHEN credit THEN amount WHEN debit THEN -amount ELSE 0 END) AS spend,
               coalesce(sum(CASE 'reserved' WHEN credit THEN amount WHEN debit THEN -amount END)
                        FILTER (WHERE reference IS NOT NULL AND rental_id IS NULL), 0) AS reversed_held
        FROM transfers o WHERE o.account_id = b.account_id AND o.seq <= b.counted_seq
    ) s
    WHERE b.account_id = ANY($1::text[])
)
SELECT 'lots.left_is_not_the_wallets' AS name, account_id, 'book' AS what FROM b WHERE remaining + aside + lent <> total
UNION ALL SELECT 'lots.aside_is_not_held', account_id, 'book' FROM b WHERE aside <> reversed_held
UNION ALL SELECT 'lots.spent_is_not_the_usage', account_id, 'book' FROM b WHERE spent + lent_spent <> spend
UNION ALL SELECT 'lots.debt_differs', account_id, 'book' FROM b
    WHERE owed <> owed_after OR lent < 0 OR lent_spent < 0 OR lent + lent_spent > owed
UNION ALL SELECT 'lots.counted_too_far', b.account_id, 'book' FROM b JOIN wallets w USING (account_id) WHERE counted_seq > seq
UNION ALL SELECT 'lots.more_than_granted', account_id, id FROM credit_lots
    WHERE account_id = ANY($1::text[]) AND remaining + spent + aside + withheld > granted
UNION ALL SELECT 'lots.withheld_without_debt', l.account_id, 'lots' FROM l JOIN wallets w USING (account_id)
    WHERE l.withheld > 0 AND w.owed = 0
UNION ALL SELECT 'lots.never_expires', account_id, id FROM credit_lots
    WHERE account_id = ANY($1::text[]) AND expires_at IS NOT NULL AND remaining > 0 AND due_at IS NULL
"""


async def broken(session: AsyncSession, *, account_id: AccountId | None = None) -> list[Broken]:
    """Return the invariants of lots that do not hold: for one account, or for all that the role sees."""
    if account_id is not None:
        return await broken_for(session, [account_id])
    return [found async for accounts in every_account(session) for found in await broken_for(session, accounts)]


async def broken_for(session: AsyncSession, account_ids: Sequence[AccountId]) -> list[Broken]:
    """Return the invariants that do not hold for some accounts."""
    return await broken_among(session, _STATEMENT, account_ids)
