"""What must always be true of reports: what is counted is the ledger, day by day. For the worker and the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId
from app.kit.invariants import Broken, broken_among

_STATEMENT: Final = """
WITH c AS (
    SELECT c.account_id, c.seq, w.seq AS posted_seq FROM report_counted c JOIN wallets w ON w.account_id = c.account_id
    WHERE c.account_id = ANY($1::text[])
), l AS (
    SELECT c.account_id, (t.effective_at AT TIME ZONE 'UTC')::date AS day, coalesce(t.rental_id, '') AS rental_id,
           coalesce(sum(t.amount) FILTER (WHERE t.credit = 'spend'), 0) AS charged,
           coalesce(sum(t.amount) FILTER (WHERE t.debit = 'spend'), 0) AS refunded
    FROM c JOIN transfers t ON t.account_id = c.account_id AND t.seq <= c.seq
    WHERE 'spend' IN (t.debit, t.credit) GROUP BY 1, 2, 3
), s AS (
    SELECT account_id, day, rental_id, sum(charged) AS charged, sum(refunded) AS refunded
    FROM report_spend WHERE account_id = ANY($1::text[]) GROUP BY 1, 2, 3
)
SELECT 'reports.sums_are_not_the_ledgers' AS name, account_id, day || ' ' || rental_id AS what
FROM l FULL JOIN s USING (account_id, day, rental_id)
WHERE (l.charged, l.refunded) IS DISTINCT FROM (s.charged, s.refunded)
UNION ALL SELECT 'reports.counted_too_far', account_id, seq::text FROM c WHERE seq > posted_seq
"""


async def broken_for(session: AsyncSession, account_ids: Sequence[AccountId]) -> list[Broken]:
    """Return the invariants that do not hold for some accounts."""
    return await broken_among(session, _STATEMENT, account_ids)
