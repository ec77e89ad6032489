"""What was brought in and taken out for the sake of one thing: a payment, a refund, a dispute.

Reckoned by the counter-bucket ``funding``, so that it does not matter what a debt, a hold or a promotion did with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.ids import AccountId

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
    session: AsyncSession, account_ids: Sequence[AccountId], *, since: datetime, until: datetime
) -> list[tuple[AccountId, str]]:
    """Return for which references of some accounts money came in or went out in a span of time."""
    rows = await driver(session).fetch(_LIST, list(account_ids), since, until)
    return [(AccountId(row["account_id"]), row["reference"]) for row in rows]
