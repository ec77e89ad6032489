"""Signing in: to GitHub and back, in the browser in which it began, once, within ten minutes.

The browser keeps a secret of its own on the way; the state in GitHub's address is another. Only both together find the
sign-in, so nobody can be brought to come back with somebody else's, and nobody gets anywhere with a state overheard.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database
from app.kit.ids import AccountId, UserId
from app.tenancy.opening import open_account
from app.tenancy.people import queries
from app.tenancy.people.errors import GithubRefusal, SignInDenied, SignInFailed
from app.tenancy.people.github import Github, Identity
from app.tenancy.people.sessions import Sessions
from app.tenancy.people.tokens import Tokens
from app.web import SignedIn
from app.web.errors import Unauthorized, ValidationFailed

SIGN_IN_LASTS: Final = timedelta(minutes=10)
RETURN_TO: Final = "/v1/session"
"""Where a browser goes that named no place."""

CALLBACK: Final = "/v1/auth/github/callback"
"""Where GitHub sends a browser back to: the whole of it is registered there."""

_PLAIN: Final = re.compile(r"[!-\[\]-~]{1,1024}", re.ASCII)
"""What an address can be made of, but for the backslash, which browsers take for a slash."""
_CODE_MAX: Final = 512


class OpenWallet(Protocol):
    """Gives a new account its wallet, in the transaction that opens the account."""

    def __call__(self, session: AsyncSession, *, account_id: AccountId, at: datetime) -> Awaitable[None]:
        """Make the wallet; harmless to repeat."""
        ...


@dataclass(frozen=True, slots=True)
class Departure:
    """A browser on its way to GitHub."""

    url: str = field(repr=False)
    browser: str = field(repr=False)
    """What the browser keeps until it comes back."""


@dataclass(frozen=True, slots=True)
class Return:
    """A browser that comes back from GitHub."""

    browser: str | None = field(repr=False)
    """What it has kept."""
    state: str = field(repr=False)
    code: str | None = field(repr=False)
    error: str | None
    user_agent: str
    address: str | None
    session: str | None = field(repr=False)
    """The secret of the session that it had before, if any: that one ends."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A person who has signed in."""

    secret: str = field(repr=False)
    person: SignedIn
    return_to: str


class SignIn:
    """The way in by GitHub. One per process."""

    def __init__(
        self,
        github: Github,
        sessions: Sessions,
        tokens: Tokens,
        *,
        db: Database,
        auth_db: Database,
        open_wallet: OpenWallet,
    ) -> None:
        self._github = github
        self._sessions = sessions
        self._tokens = tokens
        self._db = db
        self._auth_db = auth_db
        self._open_wallet = open_wallet

    async def begin(self, return_to: str, *, at: datetime) -> Departure:
        """Send a browser off. ``return_to`` is a path of this service, as ``local_path`` lets through."""
        browser, state = self._tokens.new(), self._tokens.new()
        hashes = self._tokens.hash(state), self._tokens.hash(browser)
        await self._auth_db.fetch_once(queries.INSERT_SIGN_IN, *hashes, return_to, at, at + SIGN_IN_LASTS)
        url = self._github.departure(state=state, verifier=self._tokens.verifier(browser, state))
        return Departure(url, browser)

    async def finish(self, back: Return, *, at: datetime) -> Arrival:
        """Take a browser back, find out who it is, and sign that person in; a first one gets an account of its own.

        Raises:
            SignInFailed: not the sign-in this browser began, or too late, or with a code that GitHub does not know.
            SignInDenied: the person did not allow it.
            EmailUnverified, GithubRefusal, GithubOutOfReach: as GitHub says.
        """
        return_to, verifier = await self._taken(back, at)
        if back.error is not None:
            raise SignInDenied if back.error == "access_denied" else GithubRefusal
        if not back.code or len(back.code) > _CODE_MAX:
            raise SignInFailed
        identity = await self._github.identify(code=back.code, verifier=verifier)
        person_id = await self._arrive(identity, at)
        await self._end_former(back.session, at)
        begun = await self._sessions.begin(person_id, user_agent=back.user_agent, address=back.address, at=at)
        return Arrival(*begun, return_to)

    async def _taken(self, back: Return, at: datetime) -> tuple[str, str]:
        """Return where the browser wants to be and its verifier; the sign-in can't be taken again."""
        if back.browser is None or not all(map(self._tokens.is_well_formed, (back.browser, back.state))):
            raise SignInFailed
        hashes = self._tokens.hash(back.state), self._tokens.hash(back.browser)
        rows = await self._auth_db.fetch_once(queries.TAKE_SIGN_IN, *hashes)
        if not rows or rows[0]["expires_at"] <= at:
            raise SignInFailed
        return rows[0]["return_to"], self._tokens.verifier(back.browser, back.state)

    async def _arrive(self, identity: Identity, at: datetime) -> UserId:
        """Return the person, known now as GitHub describes it, with an account of its own."""
        known = identity.login, identity.name, list(identity.emails)
        new = UserId.new(), identity.github_id, *known, AccountId.new(), at
        row = (await self._auth_db.fetch_once(queries.PUT_PERSON, *new))[0]
        person_id, account_id = UserId(row["id"]), AccountId(row["personal_account_id"])
        if not await self._is_open(account_id):
            await self._open(identity, person_id, account_id, at)
        await self._auth_db.fetch_once(queries.TELL_MEMBERSHIPS, person_id, identity.emails[0], identity.name)
        return person_id

    async def _open(self, identity: Identity, person_id: UserId, account_id: AccountId, at: datetime) -> None:
        """Open the personal account. Its id was fixed with the person, so a second try, or a twin, opens no other."""

        async def opening(session: AsyncSession) -> None:
            """Write the account and its wallet."""
            await open_account(
                session,
                name=identity.name,
                email=identity.emails[0],
                at=at,
                account_id=account_id,
                user_id=person_id,
            )
            await self._open_wallet(session, account_id=account_id, at=at)

        try:
            await self._db.run(opening, account_id=account_id)
        except IntegrityError:
            if not await self._is_open(account_id):
                raise

    async def _is_open(self, account_id: AccountId) -> bool:
        return bool(await self._auth_db.fetch_once(queries.IS_OPEN, account_id))

    async def _end_former(self, secret: str | None, at: datetime) -> None:
        """End the session that the browser had: whoever planted or knows its secret has nothing of the new one."""
        if secret is None:
            return
        try:
            former = await self._sessions.recognise(secret, at=at)
        except Unauthorized:
            return
        await self._sessions.end(former.session_id, former.person_id, at=at)


def local_path(text: str) -> str:
    """Return a path of this service that a browser may be sent to.

    Raises:
        ValidationFailed: it could lead anywhere else.
    """
    path = re.split(r"[?#]", text, maxsplit=1)[0]
    leads_away = not path.startswith("/") or "//" in path or {".", ".."} & set(path.split("/"))
    if leads_away or not _PLAIN.fullmatch(text):
        problem = {"pointer": "query:/return_to", "code": "local_path", "message": "must be a path of this service"}
        raise ValidationFailed(errors=[problem])
    return text
