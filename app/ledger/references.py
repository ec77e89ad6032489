"""What was brought in and taken out for the sake of one thing: a payment, a refund, a dispute.

Reckoned by the counter-bucket ``funding``, so that it does not matter what a debt, a hold or a promotion did with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database, driver
from app.kit.ids import AccountId
from app.ledger.invariants import every_account

_SUM: Final = """
SELECT reference, sum(CASE WHEN debit = 'funding' THEN amount WHEN credit = 'funding' THEN -amount ELSE 0 END)::bigint AS net
FROM transfers WHERE account_id = $1 AND reference = ANY($2::text[]) GROUP BY reference
"""
_LIST: Final = """
SELECT DISTINCT account_id, reference FROM transfers
WHERE account_id = ANY($1::text[]) AND reference IS NOT NULL AND effective_at >= $2 AND effective_at < $3
  AND 'funding' IN (debit, credit) ORDER BY account_id, reference
"""


async def net_funding(session: AsyncSession, *, account_id: AccountId, references: Sequence[str]) -> Mapping[str, int]:
    """Return what each reference has brought in so far, in micro-dollars: below zero where it has taken out."""
    rows = await driver(session).fetch(_SUM, account_id, list(references))
    return {row["reference"]: row["net"] for row in rows}


async def list_funded(
    db: Database, *, since: datetime, until: datetime
) -> AsyncIterator[Sequence[tuple[AccountId, str]]]:
    """Yield for which references money came in or went out in a span of time, some accounts at a time."""
    async with db.begin_unscoped() as session:
        groups = [group async for group in every_account(session)]
    for group in groups:
        async with db.begin_unscoped() as session:
            rows = await driver(session).fetch(_LIST, group, since, until)
        if rows:
            yield [(AccountId(row["account_id"]), row["reference"]) for row in rows]
