"""One request, one tenant, one transaction.

``working(scope)`` is a dependency; declare it with ``scope="function"`` so that the transaction ends before the answer
is sent, and a commit that failed is told as an error:

    async def create(body: ThingCreate, work: Annotated[Work, Depends(working("things:write"), scope="function")])
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

import structlog
from fastapi import Depends, Request
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.security.base import SecurityBase
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database
from app.kit.errors import AppError
from app.kit.ids import AccountId
from app.web.acts import bear_witness
from app.web.admitting import admitted, visiting
from app.web.browsing import SESSION
from app.web.exchange import exchange_of, state_of
from app.web.paging import Cursors, Page, Position
from app.web.principal import SCOPES, Principal, SignedIn

SESSION_SCHEME = "session"
_SESSION_TOLD = (
    "The cookie of a browser in which a person has signed in at /v1/auth/github (plain `hourglass` where the service is "
    "reached over http). Requests that change something also carry the `csrf_token` of GET /v1/session as `X-CSRF-Token`."
)
_log = structlog.get_logger("hourglass.web")


@dataclass(frozen=True, slots=True)
class Work:
    """What an endpoint works with: its caller, its transaction and its moment."""

    session: AsyncSession
    principal: Principal
    at: datetime
    request_id: str
    cursors: Cursors
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    """What to do once the transaction stands, such as forgetting what a cache holds. Must not raise."""
    after_rollback: list[Callable[[AsyncSession], Awaitable[None]]] = field(default_factory=list)
    """What follows from a refusal, in a transaction of its own once this one is undone; the refusal is told all the same.

    May add to the error that the endpoint raised. May be run twice when the database was away for a moment.
    """

    @property
    def account_id(self) -> AccountId:
        """Return the tenant."""
        return self.principal.account_id

    def after(self, page: Page) -> Position | None:
        """Return the position after which a page starts, or None for the first.

        Raises:
            InvalidCursor: the cursor is not this list's.
        """
        return self.cursors.open(page, account_id=self.account_id, at=self.at)

    def cursor(self, position: Position, page: Page) -> str:
        """Return the cursor of the page that follows a position."""
        return self.cursors.seal(position, page, account_id=self.account_id, at=self.at)


class _Bearer(SecurityBase):
    """A dependency that is its own security scheme: no second dependency to solve on every request."""

    def __init__(self, scope: str | None) -> None:
        if scope is not None and scope not in SCOPES:
            raise ValueError(f"no such scope: {scope}")
        self.required_scope = scope
        self.scheme_name = "apiKey"
        self.model = HTTPBearer(bearerFormat="hg_live_… or hg_test_…", description="An API key of the account.")


class _Working(_Bearer):
    changes = True

    async def __call__(self, request: Request) -> AsyncIterator[Work]:
        state = state_of(request)
        at = state.clock.now()
        principal = await admitted(request, self.required_scope, at)
        work: Work | None = None
        try:
            async with state.db.begin(principal.account_id) as session:
                work = Work(session, principal, at, exchange_of(request.scope).request_id, state.cursors)
                yield work
                if self.changes:
                    await bear_witness(request, session, account_id=principal.account_id, at=at)
        except AppError:
            if work is not None:
                await _follow_up(state.db, work)
            raise
        for callback in work.after_commit:
            callback()


class _Consulting(_Working):
    changes = False


class _Calling(_Bearer):
    async def __call__(self, request: Request) -> Principal:
        return await admitted(request, self.required_scope, state_of(request).clock.now())


class _Visiting(SecurityBase):
    def __init__(self) -> None:
        self.scheme_name = SESSION_SCHEME
        self.model = session_model()

    async def __call__(self, request: Request) -> SignedIn:
        return await visiting(request, state_of(request).clock.now())


def working(scope: str | None) -> _Working:
    """Return the dependency that gives ``Work`` to a caller with a scope; with None, to any valid key."""
    return _Working(scope)


def consulting(scope: str | None) -> _Working:
    """Return what ``working`` does, for a POST that asks and changes nothing anybody would want to know of later."""
    return _Consulting(scope)


def calling(scope: str | None) -> _Calling:
    """Return the dependency that gives the ``Principal`` only, for endpoints that own their transactions."""
    return _Calling(scope)


def visiting_person() -> _Visiting:
    """Return the dependency that gives the ``SignedIn`` person: for what a person does whatever account it has chosen."""
    return _Visiting()


def session_model() -> APIKey:
    """Return the description of the session's cookie."""
    return APIKey(**{"in": APIKeyIn.cookie}, name=f"__Host-{SESSION}", description=_SESSION_TOLD)


Visiting = Annotated[SignedIn, Depends(visiting_person())]
"""The head of an endpoint for people, whatever account they have chosen."""


def is_consulting(dependency: object) -> bool:
    """Say whether a dependency is one of a question that changes nothing."""
    return isinstance(dependency, _Consulting)


def required_scope(dependency: object) -> str | None:
    """Return the scope that a dependency asks for; None when it is not one of these, or takes any valid key."""
    return dependency.required_scope if isinstance(dependency, _Bearer) else None


async def _follow_up(db: Database, work: Work) -> None:
    """Do what follows from a refusal; whatever happens here, the caller is told the refusal."""
    for callback in work.after_rollback:
        try:
            await db.run(callback, account_id=work.account_id)
        except Exception as error:  # noqa: BLE001 - the refusal is the answer
            _log.warning("follow_up_failed", request_id=work.request_id, error=type(error).__name__)
