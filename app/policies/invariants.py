"""What must always be true of policies' books, at the transfer up to which an account is counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId
from app.kit.invariants import Broken, broken_among

# Every subject's days together are all that was ever spent on its account, to the micro-dollar.
_STATEMENT: Final = """
WITH spent AS (
    SELECT t.account_id, s.subject, sum(CASE WHEN t.credit = 'spend' THEN t.amount ELSE -t.amount END) AS micros
    FROM policy_counted k
    JOIN transfers t ON t.account_id = k.account_id AND t.seq <= k.seq AND (t.credit = 'spend' OR t.debit = 'spend')
    LEFT JOIN commitments c ON c.account_id = t.account_id AND c.rental_id = t.rental_id
    CROSS JOIN LATERAL (VALUES (t.account_id), (c.team_id), (c.user_id), (c.key_id)) AS s(subject)
    WHERE k.account_id = ANY($1::text[]) AND s.subject IS NOT NULL GROUP BY 1, 2
), counted AS (
    SELECT account_id, subject, sum(micros) AS micros FROM policy_spend
    WHERE account_id = ANY($1::text[]) GROUP BY 1, 2
)
SELECT 'policies.days_are_not_the_ledgers' AS name, account_id, subject AS what
FROM spent FULL JOIN counted USING (account_id, subject)
WHERE coalesce(spent.micros, 0) <> coalesce(counted.micros, 0)
UNION ALL SELECT 'policies.counted_too_far', k.account_id, 'book'
FROM policy_counted k JOIN wallets w USING (account_id) WHERE k.account_id = ANY($1::text[]) AND k.seq > w.seq
"""


async def broken_for(session: AsyncSession, account_ids: Sequence[AccountId]) -> list[Broken]:
    """Return the invariants that do not hold for some accounts."""
    return await broken_among(session, _STATEMENT, account_ids)
