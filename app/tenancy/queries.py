"""Statements of the auth role, and the account itself. What else is read stands beside what it is read for."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.errors import NotFound
from app.kit.ids import AccountId
from app.tenancy.models import AccountRow

FIND_BY_HASH = """
    SELECT k.account_id, k.id, k.name, k.mode, k.scopes, k.created_by, k.expires_at, k.revoked_at, k.allowed_ips,
           k.last_used_at, k.team_id, k.spend_limit, k.limit_reset, a.status, u.role,
           u.removed_at IS NOT NULL AS maker_removed, m.teams, m.leads
    FROM key_hashes h
    JOIN api_keys k ON k.account_id = h.account_id AND k.id = h.key_id
    JOIN accounts a ON a.account_id = k.account_id
    LEFT JOIN users u ON u.account_id = k.account_id AND u.id = k.created_by
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(team_id), '{}') AS teams,
               coalesce(array_agg(team_id) FILTER (WHERE role = 'lead'), '{}') AS leads
        FROM team_members WHERE account_id = k.account_id AND user_id = k.created_by
    ) m
    WHERE h.hash = $1
"""
"""A key, the state of its account, and what its maker is there, by the hash of its secret; for the auth role."""

FIND_MEMBERSHIPS = """
    SELECT a.account_id, a.name, a.kind, a.status, u.role, u.joined_at, a.metadata->>'opened_as' AS opened_as
    FROM users u JOIN accounts a ON a.account_id = u.account_id
    WHERE u.id = $1 AND u.removed_at IS NULL
    ORDER BY u.joined_at DESC, a.account_id DESC
"""
"""The accounts that a person belongs to, the one joined last first; for the auth role."""

FIND_INVITATION = "SELECT account_id, invitation_id FROM invitation_tokens WHERE hash = $1"
"""Whose invitation a token opens, by its hash; for the auth role."""

WRITE_LAST_USED = """
    UPDATE api_keys k SET last_used_at = u.at
    FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS u (account_id, id, at)
    WHERE k.account_id = u.account_id AND k.id = u.id AND (k.last_used_at IS NULL OR k.last_used_at < u.at)
"""
"""When keys were last used, many at once; for the auth role."""


async def get_account(session: AsyncSession, *, account_id: AccountId) -> AccountRow:
    """Return an account.

    Raises:
        NotFound: there is none.
    """
    found = await session.get(AccountRow, account_id)
    if found is None:
        raise NotFound
    return found


async def lock_account(session: AsyncSession, *, account_id: AccountId) -> AccountRow:
    """Return an account and hold its row: who changes its people or its name does so one after the other.

    Rows that refer to the account can be written meanwhile.

    Raises:
        NotFound: there is none.
    """
    query = select(AccountRow).where(AccountRow.account_id == account_id).with_for_update(key_share=True)
    found = await session.scalar(query)
    if found is None:
        raise NotFound
    return found
