"""Who is calling, and what the application must offer for the edge to find out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from app.kit.clock import Clock
from app.kit.db import Database
from app.kit.ids import AccountId, ApiKeyId, SessionId, TeamId, UserId
from app.kit.vault import Vault
from app.web.browsing import Site
from app.web.errors import AccountSuspended, MembershipEnded, ScopeMissing
from app.web.limiting import Limiter
from app.web.paging import Cursors

Role = Literal["owner", "admin", "billing", "member", "viewer"]
"""What a person is in an account."""

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
class SpendLimit:
    """How much a key may spend, in micro-dollars: in all, or since the last reset (UTC)."""

    micros: int
    reset: Literal["daily", "weekly", "monthly"] | None


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of one request: an API key of an account, or a person who is signed in."""

    account_id: AccountId
    key_id: ApiKeyId | None
    user_id: UserId | None
    scopes: frozenset[str]
    live: bool
    name: str
    session_id: SessionId | None = None
    role: Role | None = None
    """The person's role in the account; None for a key that no person of the account made."""
    team_id: TeamId | None = None
    """The team that a key belongs to: what it rents is the team's."""
    reach: frozenset[TeamId] | None = None
    """The teams whose things it sees, beside its own; None: everything of the account."""
    leads: frozenset[TeamId] = frozenset()
    """The teams that it leads."""
    limit: SpendLimit | None = None
    """The key's own limit."""

    @property
    def actor(self) -> str:
        """Return who acts, for books and events: the key's id, or the person's."""
        return self.key_id or self.user_id or "unknown"

    def reaches(self, team_id: str | None, *, created_by: str | None) -> bool:
        """Say whether it sees a thing of a team (or of none) that somebody made.

        A team's key does not see what the person who made it made elsewhere.
        """
        own = {self.key_id} if self.team_id is not None else {self.key_id, self.user_id}
        if self.reach is None or (created_by is not None and created_by in own):
            return True
        return team_id is not None and team_id in self.reach

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


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person who is signed in, and the account it has chosen to act in."""

    session_id: SessionId
    person_id: UserId
    name: str
    emails: tuple[str, ...]
    """The person's addresses, each verified, the first one first."""
    account_id: AccountId
    principal: Principal | None
    """As whom the person acts in the account; None when it no longer belongs there."""
    suspended: bool
    """Whether the account is suspended."""
    ends_at: datetime
    """When the session ends, however much it is used."""
    csrf_token: str = field(repr=False)
    """What every request of this person's pages that changes something carries: bound to session and account."""

    def acting(self) -> Principal:
        """Return as whom the person acts in the account it has chosen.

        Raises:
            MembershipEnded: it no longer belongs there.
            AccountSuspended: nobody acts there now.
        """
        if self.principal is None:
            raise MembershipEnded
        if self.suspended:
            raise AccountSuspended
        return self.principal


class Sessions(Protocol):
    """Recognises people by the secret in their browser's cookie."""

    @property
    def site(self) -> Site:
        """Where browsers reach the service."""
        ...

    async def recognise(self, secret: str, *, at: datetime) -> SignedIn:
        """Return who is signed in, changing nothing.

        Raises:
            Unauthorized: the secret opens no session, or none that lasts.
        """
        ...

    async def keep(self, secret: str, *, at: datetime) -> str | None:
        """Note that a session is in use, and return the secret that takes the place of this one, if it is due."""
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
    def sessions(self) -> Sessions | None:
        """How people who are signed in are recognised; None where nobody can sign in."""
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
