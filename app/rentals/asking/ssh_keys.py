"""Customers' public SSH keys: kept in one canonical line, each once per account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.kit.errors import AppError, NotFound
from app.kit.ids import AccountId, SshKeyId
from app.machines import parse_public_key
from app.rentals import queries
from app.rentals.asking.wishes import KEYS_MAX
from app.rentals.errors import DuplicateKey, UnknownReference
from app.rentals.models import SshKeyRow
from app.web.schemas import TimeOut, Wire

InstalledKey = dict[str, str | None]
"""``{"id", "public_key"}``: a key as a rental carries it; without an id when it was sent inline."""


class SshKey(Wire):
    """A public key of the account."""

    id: str
    object: Literal["ssh_key"] = "ssh_key"
    name: str
    public_key: str
    fingerprint: str
    created_at: TimeOut

    @classmethod
    def of(cls, row: SshKeyRow) -> SshKey:
        """Return a key as it is shown."""
        return cls(
            id=row.id,
            name=row.name,
            public_key=row.public_key,
            fingerprint=row.fingerprint,
            created_at=row.created_at,
        )


async def add_key(session: AsyncSession, text: str, *, name: str, account_id: AccountId, at: datetime) -> SshKey:
    """Keep a public key.

    Raises:
        WeakKey, MalformedKey: it may not go on a machine.
        DuplicateKey: the account holds it already.
    """
    key = parse_public_key(text)
    made = SshKey(id=SshKeyId.new(), name=name, public_key=key.text, fingerprint=key.fingerprint, created_at=at)
    values = (account_id, made.id, name, made.public_key, made.fingerprint, at)
    if await driver(session).fetchval(queries.INSERT_SSH_KEY, *values) is None:
        raise DuplicateKey
    return made


async def get_key(session: AsyncSession, key_id: str, *, account_id: AccountId) -> SshKeyRow:
    """Return one key.

    Raises:
        NotFound: this account has no such key.
    """
    rows = await queries.list_ssh_keys(session, account_id=account_id, ids=[known_key_id(key_id)])
    if not rows:
        raise _no_such_key()
    return rows[0]


async def delete_key(session: AsyncSession, key_id: str, *, account_id: AccountId) -> None:
    """Forget a key. Rentals that carry it keep it.

    Raises:
        NotFound: this account has no such key.
    """
    if await driver(session).fetchval(queries.DELETE_SSH_KEY, account_id, known_key_id(key_id)) is None:
        raise _no_such_key()


def known_key_id(text: str) -> SshKeyId:
    """Return a key's id from a path.

    Raises:
        NotFound: it can't be one.
    """
    try:
        return SshKeyId.parse(text)
    except ValueError:
        raise _no_such_key() from None


async def all_keys(session: AsyncSession, *, account_id: AccountId) -> list[InstalledKey]:
    """Return the account's keys as a rental carries them, the newest fifty."""
    rows = await driver(session).fetch(queries.READ_SSH_KEYS, account_id, KEYS_MAX)
    return [{"id": row["id"], "public_key": row["public_key"]} for row in rows]


async def named_keys(session: AsyncSession, ids: Sequence[str], *, account_id: AccountId) -> list[InstalledKey]:
    """Return the keys of some ids as a rental carries them.

    Raises:
        UnknownReference: an id that names no key of this account.
    """
    known = {row.id: row for row in await queries.list_ssh_keys(session, account_id=account_id, ids=_canonical(ids))}
    wanted = [_canonical([text])[0] for text in ids]
    unknown = [
        {"pointer": f"/ssh_key_ids/{n}", "code": "unknown", "message": "names no SSH key of this account"}
        for n, key_id in enumerate(wanted)
        if key_id not in known
    ]
    if unknown:
        raise UnknownReference(errors=unknown)
    return [{"id": key_id, "public_key": known[key_id].public_key} for key_id in dict.fromkeys(wanted)]


def inline_keys(texts: Sequence[str]) -> list[InstalledKey]:
    """Return keys that were sent with the request, each once.

    Raises:
        WeakKey, MalformedKey: one that may not go on a machine; its place is named.
    """
    keys: dict[str, InstalledKey] = {}
    for n, text in enumerate(texts):
        try:
            key = parse_public_key(text)
        except AppError as error:
            error.errors = [{"pointer": f"/ssh_public_keys/{n}", "code": error.code, "message": error.detail}]
            raise
        keys.setdefault(key.fingerprint, {"id": None, "public_key": key.text})
    return list(keys.values())


def _canonical(ids: Sequence[str]) -> list[str]:
    """Return ids in canonical form; what can't be an id stays, and is unknown."""
    canonical = []
    for text in ids:
        try:
            canonical.append(str(SshKeyId.parse(text)))
        except ValueError:
            canonical.append(text)
    return canonical


def _no_such_key() -> NotFound:
    return NotFound("There is no such SSH key.")
