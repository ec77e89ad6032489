"""Sessions: a browser is recognised by its secret, which changes; a person sees where it is signed in and ends it.

A session is remembered for two seconds at most, so an end or a change made elsewhere is seen within that; one made in
this process is seen at once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from app.kit.db import Database
from app.kit.finding import nothing
from app.kit.ids import AccountId, SessionId, TeamId, UserId
from app.tenancy.people import queries
from app.tenancy.people.errors import SessionChanged
from app.tenancy.people.tokens import Tokens
from app.tenancy.queries import FIND_MEMBERSHIPS
from app.tenancy.roles import reach_of, scopes_of
from app.web import Principal, SignedIn, Site
from app.web.admitting import SESSION_COOKIE_SECONDS
from app.web.errors import Unauthorized

ABSOLUTE: Final = timedelta(seconds=SESSION_COOKIE_SECONDS)
IDLE: Final = timedelta(hours=12)
ROTATED_EVERY: Final = timedelta(hours=1)
PREVIOUS_OPENS: Final = timedelta(seconds=30)
REMEMBERED_SECONDS: Final = 2.0
_SEEN_NOTED_EVERY: Final = timedelta(minutes=1)
_REMEMBERED_MAX: Final = 10_000
_CHOICE_TRIES: Final = 3
_USER_AGENT_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class _Known:
    """A session as it was found by one of its two secrets, and until when that is believed."""

    person: SignedIn
    is_current: bool
    """Whether it was found by its present secret rather than by the one before."""
    opens_until: datetime
    seen_at: datetime
    rotated_at: datetime
    until: float

    def check(self, at: datetime) -> None:
        """Pass while it opens.

        Raises:
            Unauthorized: it has ended, or nobody has used it for too long.
        """
        if at >= min(self.opens_until, self.seen_at + IDLE):
            raise Unauthorized("The session has ended.")


class Sessions:
    """Recognises people, as the auth role. One per process."""

    def __init__(
        self, db: Database, tokens: Tokens, site: Site, *, remembered_seconds: float = REMEMBERED_SECONDS
    ) -> None:
        self.site = site
        self._remembered_seconds = remembered_seconds
        self._db = db
        self._tokens = tokens
        self._known: dict[bytes, _Known] = {}
        self._forgotten = 0

    async def recognise(self, secret: str, *, at: datetime) -> SignedIn:
        """Return who is signed in, changing nothing.

        Raises:
            Unauthorized: the secret opens no session, or none that lasts.
        """
        return (await self._look_up(secret, at)).person

    async def keep(self, secret: str, *, at: datetime) -> str | None:
        """Note that a session is in use, and return the secret that takes the place of this one, if it is due.

        Raises:
            Unauthorized: as ``recognise``.
        """
        known = await self._look_up(secret, at)
        hashed, session_id = self._tokens.hash(secret), known.person.session_id
        if not known.is_current:
            return self._tokens.successor(secret)
        if at - known.rotated_at >= ROTATED_EVERY:
            successor = self._tokens.successor(secret)
            next_hash = self._tokens.hash(successor)
            await self._db.fetch_once(queries.ROTATE, session_id, hashed, next_hash, at, at + PREVIOUS_OPENS)
            self._known.pop(hashed, None)
            return successor
        if at - known.seen_at >= _SEEN_NOTED_EVERY:
            await self._db.fetch_once(queries.NOTE_SEEN, session_id, at)
            if hashed in self._known:
                self._known[hashed] = replace(known, seen_at=at)
        return None

    async def begin(
        self, person_id: UserId, *, user_agent: str, address: str | None, at: datetime
    ) -> tuple[str, SignedIn]:
        """Sign a person in: return the new session's secret, which is told this once, and who it opens for."""
        secret = self._tokens.new()
        hashed, shown = self._tokens.hash(secret), _shown(user_agent)
        await self._db.fetch_once(queries.INSERT_SESSION, SessionId.new(), hashed, person_id, shown, address, at)
        return secret, await self.recognise(secret, at=at)

    async def choose(self, secret: str, account_id: AccountId, *, at: datetime) -> tuple[str, SignedIn]:
        """Let a session act in another account from here on; return its new secret, and as whom it acts there.

        Raises:
            NotFound: its person does not belong to such an account.
            SessionChanged: it was changed several times meanwhile.
            Unauthorized: as ``recognise``.
        """
        for _ in range(_CHOICE_TRIES):
            self._forget_secret(secret)
            known = await self._look_up(secret, at)
            if not await self._db.fetch_once(queries.BELONGS, account_id, known.person.person_id):
                raise nothing("account")
            current = secret if known.is_current else self._tokens.successor(secret)
            following = self._tokens.successor(current)
            hashes = self._tokens.hash(current), self._tokens.hash(following)
            moment = at, at + PREVIOUS_OPENS
            done = await self._db.fetch_once(queries.CHOOSE, known.person.session_id, *hashes, *moment, account_id)
            self.forget(known.person.session_id)
            if done:
                return following, await self.recognise(following, at=at)
        raise SessionChanged

    async def end(self, session_id: SessionId, person_id: UserId, *, at: datetime) -> None:
        """End one session of a person, at once and for good.

        Raises:
            NotFound: it has no such session that lasts.
        """
        bounds = at - ABSOLUTE, at - IDLE
        done = await self._db.fetch_once(queries.END, session_id, person_id, at, *bounds)
        self.forget(session_id)
        if not done:
            raise nothing("session")

    async def end_others(self, kept: SessionId, person_id: UserId, *, at: datetime) -> None:
        """End every session of a person but one."""
        for row in await self._db.fetch_once(queries.END_OTHERS, person_id, kept, at):
            self.forget(row["id"])

    async def list_live(
        self, person_id: UserId, *, at: datetime, before: tuple[datetime, str] | None, limit: int
    ) -> Sequence[Any]:
        """Return a person's sessions that last, newest first, those begun before a position."""
        position = before or (None, None)
        bounds = at - ABSOLUTE, at - IDLE
        return await self._db.fetch_once(queries.LIST_SESSIONS, person_id, *bounds, *position, limit)

    async def memberships(self, person_id: UserId) -> Sequence[Any]:
        """Return the accounts that a person belongs to and its role in each, the one joined last first."""
        return await self._db.fetch_once(FIND_MEMBERSHIPS, person_id)

    def forget(self, session_id: str) -> None:
        """Stop believing what is remembered of a session, and what a look-up under way will find."""
        self._drop(lambda known: known.person.session_id == session_id)

    def forget_person(self, user_id: str) -> None:
        """Stop believing what is remembered of a person's sessions: its role or its teams have changed."""
        self._drop(lambda known: known.person.person_id == user_id)

    def _forget_secret(self, secret: str) -> None:
        self._known.pop(self._tokens.hash(secret), None)

    def _drop(self, concerns: Any) -> None:  # noqa: ANN401 - a predicate
        self._forgotten += 1
        self._known = {hashed: known for hashed, known in self._known.items() if not concerns(known)}

    async def _look_up(self, secret: str, at: datetime) -> _Known:
        if not self._tokens.is_well_formed(secret):
            raise Unauthorized
        hashed = self._tokens.hash(secret)
        known = self._known.get(hashed)
        if known is None or known.until <= time.monotonic():
            known = await self._find(hashed)
        known.check(at)
        return known

    async def _find(self, hashed: bytes) -> _Known:
        forgotten = self._forgotten
        rows = await self._db.fetch_once(queries.FIND_SESSION, hashed)
        if not rows:
            raise Unauthorized
        known = self._of(rows[0])
        if forgotten == self._forgotten:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            self._known[hashed] = known
        return known

    def _of(self, row: Any) -> _Known:  # noqa: ANN401 - a driver's record
        ends_at = row["created_at"] + ABSOLUTE
        ended_at = None if row["ended_at"] is None else row["created_at"]  # for good, whatever a clock elsewhere says
        opens = [ends_at, ended_at, None if row["is_current"] else row["previous_until"]]
        person = SignedIn(
            session_id=SessionId(row["id"]),
            person_id=UserId(row["person_id"]),
            name=row["name"],
            emails=tuple(row["emails"]),
            account_id=AccountId(row["account_id"]),
            principal=_principal(row),
            suspended=row["status"] != "active",
            ends_at=ends_at,
            csrf_token=self._tokens.csrf(row["id"], row["account_id"]),
        )
        return _Known(
            person=person,
            is_current=row["is_current"],
            opens_until=min(moment for moment in opens if moment is not None),
            seen_at=row["seen_at"],
            rotated_at=row["rotated_at"],
            until=time.monotonic() + self._remembered_seconds,
        )


def _principal(row: Any) -> Principal | None:  # noqa: ANN401 - a driver's record
    """Return as whom a person acts in the account it has chosen; None when it does not belong there."""
    role = row["role"]
    if role is None:
        return None
    leads = frozenset(map(TeamId, row["leads"]))
    return Principal(
        account_id=AccountId(row["account_id"]),
        key_id=None,
        user_id=UserId(row["person_id"]),
        scopes=scopes_of(role, leads=leads),
        live=True,
        name=row["name"],
        session_id=SessionId(row["id"]),
        role=role,
        reach=reach_of(role, teams=frozenset(map(TeamId, row["teams"]))),
        leads=leads,
    )


def _shown(user_agent: str) -> str:
    """Return what is kept of how a browser calls itself."""
    return "".join(character for character in user_agent if character.isprintable())[:_USER_AGENT_MAX]
