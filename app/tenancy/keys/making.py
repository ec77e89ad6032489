"""The life of an API key: made, changed, rotated with an overlap, revoked. Its secret leaves once, at its making."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.errors import InvalidState
from app.kit.ids import AccountId, ApiKeyId, TeamId, UserId
from app.tenancy.keys.queries import lock_key
from app.tenancy.limits import limit_of
from app.tenancy.models import ApiKeyRow, KeyHashRow
from app.tenancy.secrets import Mode, digest, new_secret, shown_parts
from app.web import Principal
from app.web.principal import SpendLimit


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What a key may do, from where, how long, for which team and for how much money."""

    name: str
    scopes: frozenset[str]
    mode: Mode = "live"
    allowed_ips: tuple[str, ...] = ()
    expires_at: datetime | None = None
    created_by: UserId | None = None
    team_id: TeamId | None = None
    limit: SpendLimit | None = None

    @classmethod
    def of(cls, row: ApiKeyRow) -> KeyTerms:
        """Return the terms of a key that exists."""
        return cls(
            name=row.name,
            scopes=frozenset(row.scopes),
            mode="live" if row.mode == "live" else "test",
            allowed_ips=tuple(row.allowed_ips),
            expires_at=row.expires_at,
            created_by=UserId(row.created_by) if row.created_by else None,
            team_id=TeamId(row.team_id) if row.team_id else None,
            limit=limit_of(row.spend_limit, row.limit_reset),
        )


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made, with the secret that is shown this once."""

    row: ApiKeyRow
    secret: str = field(repr=False)


async def create_key(
    session: AsyncSession, terms: KeyTerms, *, account_id: AccountId, pepper: bytes, at: datetime
) -> NewKey:
    """Write a new key. Who may give such terms away is checked by the caller (``granting``)."""
    secret = new_secret(terms.mode)
    prefix, last4 = shown_parts(secret)
    statement = insert(ApiKeyRow).values(
        account_id=account_id,
        id=ApiKeyId.new(),
        name=terms.name,
        prefix=prefix,
        last4=last4,
        mode=terms.mode,
        scopes=sorted(terms.scopes),
        allowed_ips=list(terms.allowed_ips),
        created_by=terms.created_by,
        created_at=at,
        expires_at=terms.expires_at,
        team_id=terms.team_id,
        spend_limit=terms.limit.micros if terms.limit else None,
        limit_reset=terms.limit.reset if terms.limit else None,
    )
    row = (await session.scalars(statement.returning(ApiKeyRow))).one()
    hashed = digest(secret, pepper=pepper)
    await session.execute(insert(KeyHashRow).values(hash=hashed, account_id=account_id, key_id=row.id))
    return NewKey(row, secret)


async def change_key(session: AsyncSession, row: ApiKeyRow, changes: Mapping[str, Any]) -> None:
    """Change columns of a key whose row the caller holds.

    Raises:
        InvalidState: the key is revoked.
    """
    if row.revoked_at is not None:
        raise InvalidState("A revoked key can't be changed.")
    for name, value in changes.items():
        setattr(row, name, value)
    await session.flush()


async def rotate_key(
    session: AsyncSession, old: ApiKeyRow, *, caller: Principal, overlap_seconds: int, pepper: bytes, at: datetime
) -> NewKey:
    """Make a key of the same terms; the old one, whose row is held, ends after the overlap or sooner at its own end.

    The new one goes as far as who rotates, not as who made the old one: nobody lends a stronger person's power.

    Raises:
        InvalidState: the key is revoked, expired or was rotated before.
    """
    if not is_rotatable(old, at=at):
        raise InvalidState("Only a key that is in force and was not rotated before can be rotated.")
    terms = replace(KeyTerms.of(old), created_by=caller.user_id)
    new = await create_key(session, terms, account_id=caller.account_id, pepper=pepper, at=at)
    ends = at + timedelta(seconds=overlap_seconds)
    await session.execute(
        update(ApiKeyRow)
        .where(ApiKeyRow.account_id == caller.account_id, ApiKeyRow.id == old.id)
        .values(rotated_to=new.row.id, expires_at=min(ends, old.expires_at or ends))
    )
    return new


def is_rotatable(row: ApiKeyRow, *, at: datetime) -> bool:
    """Say whether a key is in force and has no successor."""
    return not (row.revoked_at or row.rotated_to or (row.expires_at and row.expires_at <= at))


async def revoke_key(session: AsyncSession, key_id: ApiKeyId, *, account_id: AccountId, at: datetime) -> ApiKeyRow:
    """Revoke a key and return it; a key revoked before keeps its moment.

    Raises:
        NotFound: the account has no such key.
    """
    row = await lock_key(session, key_id, account_id=account_id)
    if row.revoked_at is None:
        row.revoked_at = at
        await session.flush()
    return row
