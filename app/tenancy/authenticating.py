"""Recognising a key: one statement for a secret that is not remembered, none for one that is.

A key is remembered for two seconds at most, so a change made elsewhere is seen within that; one made in this process
is seen at once (``forget``). When keys were used is written in batches, off the way of any request.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from app.kit.db import Database
from app.kit.ids import AccountId, ApiKeyId, TeamId, UserId
from app.tenancy.limits import limit_of
from app.tenancy.queries import FIND_BY_HASH, WRITE_LAST_USED
from app.tenancy.roles import narrowed, reach_of
from app.tenancy.secrets import digest, is_well_formed
from app.web import AppState, Principal
from app.web.errors import AccountSuspended, IpNotAllowed, KeyDisabled, KeyExpired, Unauthorized

REMEMBERED_SECONDS = 2.0
_REMEMBERED_MAX = 10_000
_USE_NOTED_EVERY = timedelta(minutes=1)
_log = structlog.get_logger("hourglass.tenancy")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class _Known:
    """A key as it was found, and until when that is believed."""

    principal: Principal
    expires_at: datetime | None
    revoked: bool
    suspended: bool
    networks: tuple[Network, ...]
    until: float

    def check(self, *, at: datetime, address: str | None) -> Principal:
        """Return the caller, if the key opens at a moment and from an address.

        Raises:
            KeyDisabled, KeyExpired, AccountSuspended, IpNotAllowed: it does not.
        """
        if self.revoked:
            raise KeyDisabled
        if self.expires_at is not None and self.expires_at <= at:
            raise KeyExpired
        if self.suspended:
            raise AccountSuspended
        if self.networks and not _within(address, self.networks):
            raise IpNotAllowed
        return self.principal


class Authenticator:
    """Recognises keys, as the auth role. One per process."""

    def __init__(self, db: Database, pepper: bytes) -> None:
        self.pepper = pepper
        self._db = db
        self._known: dict[bytes, _Known] = {}
        self._forgotten = 0
        self._used: dict[tuple[str, str], datetime] = {}

    async def authenticate(self, secret: str, *, at: datetime, address: str | None) -> Principal:
        """Return the caller that a secret stands for.

        Raises:
            Unauthorized: no key of ours, or none that we know.
            KeyDisabled, KeyExpired: it was one.
            AccountSuspended, IpNotAllowed: it is one, but not now or not from there.
        """
        hashed = digest(secret, pepper=self.pepper)
        known = self._known.get(hashed)
        if known is None or known.until <= time.monotonic():
            if not is_well_formed(secret):
                raise Unauthorized
            known = await self._find(hashed, at)
        return known.check(at=at, address=address)

    def forget(self, key_id: str) -> None:
        """Stop believing what is remembered of a key, and what a look-up under way will find. Call after the commit."""
        self._forgotten += 1
        for hashed in [hashed for hashed, known in self._known.items() if known.principal.key_id == key_id]:
            del self._known[hashed]

    def forget_person(self, user_id: str, *, account_id: str) -> None:
        """Stop believing what is remembered of every key that a person made in an account. Call after the commit."""
        self._forgotten += 1
        for hashed, known in list(self._known.items()):
            if (known.principal.user_id, known.principal.account_id) == (user_id, account_id):
                del self._known[hashed]

    async def write_last_used(self) -> int:
        """Write when keys were used since the last call; return how many keys that were."""
        used, self._used = self._used, {}
        if used:
            accounts, keys = zip(*used, strict=True)
            await self._db.fetch_once(WRITE_LAST_USED, list(accounts), list(keys), list(used.values()))
        return len(used)

    async def keep_last_used(self, *, every_seconds: float = 5.0) -> None:
        """Write the last uses again and again until cancelled; a failed write is dropped, the next use notes itself."""
        while True:
            await asyncio.sleep(every_seconds)
            try:
                await self.write_last_used()
            except Exception as error:  # noqa: BLE001 - a hint for people must not end the process's task
                _log.warning("last_used_not_written", error=type(error).__qualname__)

    async def _find(self, hashed: bytes, at: datetime) -> _Known:
        forgotten = self._forgotten
        rows = await self._db.fetch_once(FIND_BY_HASH, hashed)
        if not rows:
            raise Unauthorized
        known = _known(rows[0], until=time.monotonic() + REMEMBERED_SECONDS)
        if forgotten == self._forgotten:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            self._known[hashed] = known
        last = rows[0]["last_used_at"]
        if last is None or at - last >= _USE_NOTED_EVERY:
            self._used[known.principal.account_id, known.principal.actor] = at
        return known


class TenancyState(AppState, Protocol):
    """What this room's endpoints need beside the edge's own state."""

    @property
    def authenticator(self) -> Authenticator:
        """The authenticator whose ``authenticate`` the edge uses."""
        ...

    @property
    def auth_db(self) -> Database:
        """The database as the role that finds an account before it is known."""
        ...


def _known(row: Any, *, until: float) -> _Known:  # noqa: ANN401 - a driver's record
    networks = tuple(ipaddress.ip_network(text) for text in row["allowed_ips"])
    principal = _principal(row)
    # Both are ended with what they hang on; this holds even if one was made in that very moment.
    orphaned = row["maker_removed"] or (principal.team_id is not None and not principal.reach)
    revoked, suspended = row["revoked_at"] is not None or orphaned, row["status"] != "active"
    return _Known(principal, row["expires_at"], revoked, suspended, networks, until)


def _principal(row: Any) -> Principal:  # noqa: ANN401 - a driver's record
    """Return the caller that a key stands for: its terms, as far as the role of who made it still goes."""
    team_id = TeamId(row["team_id"]) if row["team_id"] else None
    leads = frozenset(map(TeamId, row["leads"]))
    return Principal(
        account_id=AccountId(row["account_id"]),
        key_id=ApiKeyId(row["id"]),
        user_id=UserId(row["created_by"]) if row["created_by"] else None,
        scopes=narrowed(row["scopes"], row["role"], leads=leads),
        live=row["mode"] == "live",
        name=row["name"],
        role=row["role"],
        team_id=team_id,
        reach=reach_of(row["role"], teams=[TeamId(team) for team in row["teams"]], key_team=team_id),
        leads=leads if team_id is None else leads & {team_id},
        limit=limit_of(row["spend_limit"], row["limit_reset"]),
    )


def _within(address: str | None, networks: tuple[Network, ...]) -> bool:
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return any((mapped or ip) in network for network in networks)
