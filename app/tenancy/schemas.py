"""Wire shapes of tenancy."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from app.tenancy.models import AccountRow, ApiKeyRow
from app.tenancy.secrets import Mode
from app.web import SCOPES, Principal
from app.web.schemas import Name, Text, TimeIn, TimeOut, Wire

_OVERLAP_MAX_SECONDS = 7 * 24 * 3600


def _scope(text: str) -> str:
    if text not in SCOPES:
        raise ValueError(f"must be one of {', '.join(sorted(SCOPES))}")
    return text


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError("must be an address or a network such as 203.0.113.0/24") from None


Scope = Annotated[str, AfterValidator(_scope), Field(json_schema_extra={"enum": sorted(SCOPES)})]
Network = Annotated[Text, Field(max_length=64), AfterValidator(_network)]


class ApiKeyCreate(Wire):
    """A new key's terms."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "training", "scopes": ["rentals:read", "rentals:write"]}]}
    )

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))]
    mode: Mode = "live"
    allowed_ips: Annotated[list[Network], Field(default_factory=list, max_length=50)]
    expires_at: TimeIn | None = None


class ApiKeyRotate(Wire):
    """How long the old key stays in force beside the new one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap_seconds": 3600}]})

    overlap_seconds: Annotated[int, Field(ge=0, le=_OVERLAP_MAX_SECONDS)] = 86_400


class ApiKey(Wire):
    """An API key. ``secret`` is there once, in the first answer to its making."""

    id: str
    object: Literal["api_key"] = "api_key"
    name: str
    mode: Mode
    prefix: str
    last4: str
    scopes: list[str]
    allowed_ips: list[str]
    created_by: str | None
    created_at: TimeOut
    expires_at: TimeOut | None
    revoked_at: TimeOut | None
    rotated_to: str | None
    last_used_at: TimeOut | None
    secret: str | None = None

    @classmethod
    def of(cls, row: ApiKeyRow, *, secret: str | None = None) -> ApiKey:
        """Return a key as it is shown."""
        return cls(
            id=row.id,
            name=row.name,
            mode="live" if row.mode == "live" else "test",
            prefix=row.prefix,
            last4=row.last4,
            scopes=row.scopes,
            allowed_ips=row.allowed_ips,
            created_by=row.created_by,
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            rotated_to=row.rotated_to,
            last_used_at=row.last_used_at,
            secret=secret,
        )


class Caller(Wire):
    """The key that asks."""

    id: str
    name: str
    mode: Mode
    scopes: list[str]


class AccountOut(Wire):
    """The caller's account."""

    id: str
    object: Literal["account"] = "account"
    name: str
    kind: str
    status: str
    created_at: TimeOut
    api_key: Caller

    @classmethod
    def of(cls, row: AccountRow, caller: Principal) -> AccountOut:
        """Return an account as one of its keys sees it."""
        key = Caller(
            id=caller.actor,
            name=caller.name,
            mode="live" if caller.live else "test",
            scopes=sorted(caller.scopes),
        )
        return cls(
            id=row.account_id, name=row.name, kind=row.kind, status=row.status, created_at=row.created_at, api_key=key
        )
