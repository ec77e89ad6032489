"""Every SELECT and lock of tenancy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.errors import NotFound
from app.kit.ids import AccountId, ApiKeyId
from app.tenancy.models import AccountRow, ApiKeyRow

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


async def list_keys(
    session: AsyncSession, *, account_id: AccountId, before: tuple[datetime, str] | None, limit: int
) -> Sequence[ApiKeyRow]:
    """Return an account's keys, newest first, those made before a position."""
    query = select(ApiKeyRow).where(ApiKeyRow.account_id == account_id)
    if before is not None:
        query = query.where(tuple_(ApiKeyRow.created_at, ApiKeyRow.id) < before)
    rows = await session.scalars(query.order_by(ApiKeyRow.created_at.desc(), ApiKeyRow.id.desc()).limit(limit))
    return rows.all()


async def get_key(session: AsyncSession, key_id: ApiKeyId, *, account_id: AccountId) -> ApiKeyRow:
    """Return one key of an account.

    Raises:
        NotFound: the account has no such key.
    """
    return _found(await session.scalar(_one(key_id, account_id=account_id)))


async def lock_key(session: AsyncSession, key_id: ApiKeyId, *, account_id: AccountId) -> ApiKeyRow:
    """Return one key of an account and hold its row.

    Raises:
        NotFound: the account has no such key.
    """
    return _found(await session.scalar(_one(key_id, account_id=account_id).with_for_update()))


def _one(key_id: ApiKeyId, *, account_id: AccountId) -> Select[ApiKeyRow]:
    return select(ApiKeyRow).where(ApiKeyRow.account_id == account_id, ApiKeyRow.id == key_id)


def _found(row: ApiKeyRow | None) -> ApiKeyRow:
    if row is None:
        raise NotFound("There is no such API key.")
    return row
