"""What must always be true of accounts, their people, teams and keys. For the worker and the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId
from app.kit.invariants import Broken, broken_among

_STATEMENT: Final = """
WITH u AS (SELECT * FROM users WHERE account_id = ANY($1::text[])
), k AS (SELECT * FROM api_keys WHERE account_id = ANY($1::text[]) AND revoked_at IS NULL
)
SELECT 'account.is_without_an_owner' AS name, a.account_id, 'account' AS what FROM accounts a
    WHERE a.account_id = ANY($1::text[])
      AND NOT EXISTS (SELECT 1 FROM u WHERE u.account_id = a.account_id AND u.role = 'owner' AND u.removed_at IS NULL)
UNION ALL SELECT 'team.has_a_member_who_was_removed', m.account_id, m.team_id FROM team_members m
    JOIN u ON u.account_id = m.account_id AND u.id = m.user_id WHERE u.removed_at IS NOT NULL
UNION ALL SELECT 'key.outlives_its_maker', k.account_id, k.id FROM k
    JOIN u ON u.account_id = k.account_id AND u.id = k.created_by WHERE u.removed_at IS NOT NULL
UNION ALL SELECT 'key.outlives_its_team', k.account_id, k.id FROM k
    JOIN teams t ON t.account_id = k.account_id AND t.id = k.team_id WHERE t.archived_at IS NOT NULL
UNION ALL SELECT 'invitation.is_of_nobody_who_may_invite', i.account_id, i.id FROM invitations i
    JOIN u ON u.account_id = i.account_id AND u.id = i.invited_by
    WHERE i.accepted_at IS NULL AND i.revoked_at IS NULL AND (u.removed_at IS NOT NULL OR u.role NOT IN ('owner', 'admin'))
"""


async def broken_for(session: AsyncSession, account_ids: Sequence[AccountId]) -> list[Broken]:
    """Return the invariants that do not hold for some accounts."""
    return await broken_among(session, _STATEMENT, account_ids)
