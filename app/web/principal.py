"""Who is calling, and what the application must offer for the edge to find out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.kit.clock import Clock
from app.kit.db import Database
from app.kit.ids import AccountId, ApiKeyId, UserId
from app.kit.vault import Vault
from app.web.errors import ScopeMissing
from app.web.limiting import Limiter
from app.web.paging import Cursors

SCOPES = frozenset(
    {
        "rentals:read",
        "rentals:write",
        "catalog:read",
        "billing:read",
        "billing:write",
        "keys:write",
        "teams:read",
        "teams:write",
        "inference:use",
        "audit:read",
        "admin",
    }
)
"""Every scope a key can have; ``admin`` includes the others."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of one request: an API key of an account."""

    account_id: AccountId
    key_id: ApiKeyId
    user_id: UserId | None
    scopes: frozenset[str]
    live: bool
    name: str

    def may(self, scope: str) -> bool:
        """Say whether the caller has a scope, by name or through ``admin``."""
        return scope in self.scopes or "admin" in self.scopes

    def require(self, scope: str) -> None:
        """Pass when the caller has the scope.

        Raises:
            ScopeMissing: it does not.
        """
        if not self.may(scope):
            raise ScopeMissing(f"This request needs the scope {scope}.", extra={"required_scope": scope})


class Authenticate(Protocol):
    """Turns the secret of an API key into its principal."""

    async def __call__(self, secret: str, *, at: datetime, address: str | None) -> Principal:
        """Return the caller.

        Raises:
            Unauthorized, KeyExpired, KeyDisabled, IpNotAllowed, AccountSuspended: the key does not open.
        """
        ...


class AppState(Protocol):
    """What stands in ``app.state.hourglass``; put there by bootstrap, and by tests."""

    @property
    def db(self) -> Database:
        """The database as the API role."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock of product time."""
        ...

    @property
    def authenticate(self) -> Authenticate:
        """How keys are recognised."""
        ...

    @property
    def cursors(self) -> Cursors:
        """Seals and opens the cursors of lists."""
        ...

    @property
    def limiter(self) -> Limiter:
        """Counts requests per key and failed sign-ins per address."""
        ...

    @property
    def vault(self) -> Vault:
        """Seals what is secret before it is stored."""
        ...
