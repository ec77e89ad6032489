"""Wire shapes of accounts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from app.tenancy.models import AccountRow
from app.tenancy.secrets import Mode
from app.web import Principal, etag
from app.web.principal import Role
from app.web.schemas import Name, TimeOut, Wire


class Caller(Wire):
    """The key that asks."""

    id: str
    name: str
    mode: Mode
    scopes: list[str]


class Person(Wire):
    """The person who asks, signed in or by a key, and what it is in the account."""

    user_id: str
    role: Role | None


class AccountOut(Wire):
    """The caller's account."""

    id: str
    object: Literal["account"] = "account"
    name: str
    kind: str
    status: str
    created_at: TimeOut
    api_key: Caller | None
    person: Person | None

    @classmethod
    def of(cls, row: AccountRow, caller: Principal) -> AccountOut:
        """Return an account as one of its callers sees it."""
        return cls(
            id=row.account_id,
            name=row.name,
            kind=row.kind,
            status=row.status,
            created_at=row.created_at,
            api_key=_key(caller),
            person=Person(user_id=caller.user_id, role=caller.role) if caller.user_id else None,
        )


class AccountUpdate(Wire):
    """What of an account is to change."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Example Labs"}]})

    name: Name


class AccountCreate(Wire):
    """A new organization."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Example Labs"}]})

    name: Name


class MembershipOut(Wire):
    """An account that a person belongs to."""

    id: str
    object: Literal["account"] = "account"
    name: str
    kind: str
    status: str
    role: Role
    joined_at: TimeOut

    @classmethod
    def of(cls, row: Any) -> MembershipOut:  # noqa: ANN401 - a driver's record
        """Return an account as one of its people sees it."""
        return cls(
            id=row["account_id"],
            name=row["name"],
            kind=row["kind"],
            status=row["status"],
            role=row["role"],
            joined_at=row["joined_at"],
        )


def account_etag(row: AccountRow) -> str:
    """Return the tag of an account's version: of whatever a request can change."""
    return etag(row.account_id, row.name, row.status)


def _key(caller: Principal) -> Caller | None:
    if caller.key_id is None:
        return None
    return Caller(
        id=caller.key_id,
        name=caller.name,
        mode="live" if caller.live else "test",
        scopes=sorted(caller.scopes),
    )
