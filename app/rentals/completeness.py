"""Completeness: every rental beside what the audit tells of it, both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId
from app.kit.invariants import Broken, broken_among

_STATEMENT: Final = """
WITH told AS (
    SELECT r.account_id, r.id, r.status, e.created, e.last_status
    FROM rentals r CROSS JOIN LATERAL (
        SELECT bool_or(e.action = 'rental.created') AS created,
               (array_agg(e.details->'after'->>'status' ORDER BY e.seq DESC)
                   FILTER (WHERE e.details->'after' ? 'status'))[1] AS last_status
        FROM audit_entries e WHERE e.account_id = r.account_id AND e.target = r.id
    ) e
    WHERE r.account_id = ANY($1::text[]) AND r.audited
)
SELECT 'audit.leaves_a_rental_untold' AS name, account_id, id AS what FROM told WHERE created IS NOT TRUE
UNION ALL SELECT 'audit.tells_another_status', account_id, id FROM told
    WHERE created AND status IS DISTINCT FROM last_status
UNION ALL SELECT 'audit.tells_of_no_rental', e.account_id, e.target FROM audit_entries e
    WHERE e.account_id = ANY($1::text[]) AND e.action = 'rental.created'
      AND NOT EXISTS (SELECT 1 FROM rentals r WHERE r.account_id = e.account_id AND r.id = e.target)
"""


async def untold_for(session: AsyncSession, account_ids: Sequence[AccountId]) -> list[Broken]:
    """Return the rentals of some accounts that the audit tells nothing of, or something else; and what it makes up.

    A rental's creation and every change of its status is in its account's audit, the last one being what it is now.
    Those that were there before the audit was are left out.
    """
    return await broken_among(session, _STATEMENT, account_ids)
