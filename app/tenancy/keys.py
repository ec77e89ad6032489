"""The life of an API key: made, rotated with an overlap, revoked. Its secret leaves once, at its making."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.errors import InvalidState
from app.kit.ids import AccountId, ApiKeyId, UserId
from app.tenancy.models import ApiKeyRow, KeyHashRow
from app.tenancy.queries import lock_key
from app.tenancy.secrets import Mode, digest, new_secret, shown_parts
from app.web import Principal
from app.web.errors import Forbidden


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What a key may do, from where and how long."""

    name: str
    scopes: frozenset[str]
    mode: Mode = "live"
    allowed_ips: tuple[str, ...] = ()
    expires_at: datetime | None = None
    created_by: UserId | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made, with the secret that is shown this once."""

    row: ApiKeyRow
    secret: str = field(repr=False)


async def create_key(
    session: AsyncSession, terms: KeyTerms, *, account_id: AccountId, pepper: bytes, at: datetime
) -> NewKey:
    """Write a new key. Who may give such terms away is checked by the caller (``require_grantable``)."""
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
    )
    row = (await session.scalars(statement.returning(ApiKeyRow))).one()
    hashed = digest(secret, pepper=pepper)
    await session.execute(insert(KeyHashRow).values(hash=hashed, account_id=account_id, key_id=row.id))
    return NewKey(row, secret)


def require_grantable(caller: Principal, *, scopes: Collection[str], mode: str) -> None:
    """Pass when a caller may hand out a key of such terms: never more than it has itself.

    Raises:
        ScopeMissing: the caller lacks one of the scopes.
        Forbidden: a test key would make a live one.
    """
    for scope in sorted(scopes):
        caller.require(scope)
    if mode == "live" and not caller.live:
        raise Forbidden("A test key can only make test keys.")


async def rotate_key(
    session: AsyncSession, key_id: ApiKeyId, *, caller: Principal, overlap_seconds: int, pepper: bytes, at: datetime
) -> NewKey:
    """Make a key of the same terms; the old one ends after the overlap, or at its own end if that is sooner.

    Raises:
        NotFound: the account has no such key.
        InvalidState: the key is revoked, expired or was rotated before.
        ScopeMissing, Forbidden: the key can do more than the caller.
    """
    old = await lock_key(session, key_id, account_id=caller.account_id)
    if old.revoked_at or old.rotated_to or (old.expires_at and old.expires_at <= at):
        raise InvalidState("Only a key that is in force and was not rotated before can be rotated.")
    mode: Mode = "live" if old.mode == "live" else "test"
    require_grantable(caller, scopes=old.scopes, mode=mode)
    terms = KeyTerms(old.name, frozenset(old.scopes), mode, tuple(old.allowed_ips), old.expires_at, caller.user_id)
    new = await create_key(session, terms, account_id=caller.account_id, pepper=pepper, at=at)
    ends = at + timedelta(seconds=overlap_seconds)
    await session.execute(
        update(ApiKeyRow)
        .where(ApiKeyRow.account_id == caller.account_id, ApiKeyRow.id == key_id)
        .values(rotated_to=new.row.id, expires_at=min(ends, old.expires_at or ends))
    )
    return new


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
