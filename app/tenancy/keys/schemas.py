"""Wire shapes of keys."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from app.tenancy.limits import Reset, limit_of
from app.tenancy.models import ApiKeyRow
from app.tenancy.secrets import Mode
from app.web import SCOPES, etag
from app.web.principal import SpendLimit
from app.web.schemas import MoneyOut, Name, PositiveMoneyIn, Text, TimeIn, TimeOut, Wire

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


TeamRef = Annotated[
    Text, Field(max_length=64, description="A team that the caller sees; what the key rents is the team's.")
]


class LimitIn(Wire):
    """How much a key may spend: since the last reset (at midnight UTC; weeks begin on Monday), or in all without one."""

    amount: PositiveMoneyIn
    reset: Reset | None = None

    def spend_limit(self) -> SpendLimit:
        """Return it as the key has it."""
        return SpendLimit(self.amount, self.reset)


class ApiKeyCreate(Wire):
    """A new key's terms."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "training",
                    "scopes": ["rentals:read", "rentals:write"],
                    "limit": {"amount": "25.00", "reset": "daily"},
                }
            ]
        }
    )

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))]
    mode: Mode = "live"
    allowed_ips: Annotated[list[Network], Field(default_factory=list, max_length=50)]
    expires_at: TimeIn | None = None
    team_id: TeamRef | None = None
    limit: LimitIn | None = None


class ApiKeyUpdate(Wire):
    """What of a key is to change; what is not named stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"limit": {"amount": "50.00", "reset": "monthly"}}]})

    name: Name | None = None
    allowed_ips: Annotated[list[Network], Field(max_length=50)] | None = None
    team_id: TeamRef | None = None
    limit: LimitIn | None = None

    @model_validator(mode="after")
    def _names_a_change(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must name something to change")
        if any(getattr(self, name) is None for name in self.model_fields_set - {"team_id", "limit"}):
            raise ValueError("can clear nothing but team_id and limit")
        return self


class ApiKeyRotate(Wire):
    """How long the old key stays in force beside the new one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap_seconds": 3600}]})

    overlap_seconds: Annotated[int, Field(ge=0, le=_OVERLAP_MAX_SECONDS)] = 86_400


class LimitOut(Wire):
    """How much a key may spend, and when it begins anew."""

    amount: MoneyOut
    reset: Reset | None


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
    team_id: str | None
    limit: LimitOut | None
    secret: str | None = None

    @classmethod
    def of(cls, row: ApiKeyRow, *, secret: str | None = None) -> ApiKey:
        """Return a key as it is shown."""
        limit = limit_of(row.spend_limit, row.limit_reset)
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
            team_id=row.team_id,
            limit=None if limit is None else LimitOut(amount=limit.micros, reset=limit.reset),
            secret=secret,
        )


def key_etag(row: ApiKeyRow) -> str:
    """Return the tag of a key's version: of whatever a request can change."""
    terms = (row.name, sorted(row.allowed_ips), row.team_id, row.spend_limit, row.limit_reset)
    return etag(row.id, *terms, row.expires_at, row.revoked_at, row.rotated_to)
