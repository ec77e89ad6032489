"""An account with a key, and an application that knows keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI

from app.kit.clock import SystemClock
from app.tenancy import Authenticator, KeyTerms, create_key, open_account
from app.tenancy.endpoints import ROUTERS
from app.web import SCOPES, Cursors, Limiter, install

PEPPER = b"pepper for tests"


class MovedClock(SystemClock):
    """The machine's clock, moved ahead by a test."""

    ahead = timedelta()

    def now(self):
        return super().now() + self.ahead


@dataclass
class State:
    db: object
    authenticator: Authenticator
    clock: MovedClock = field(default_factory=MovedClock)
    cursors: Cursors = field(default_factory=lambda: Cursors(b"cursor key"))
    limiter: Limiter = field(default_factory=lambda: Limiter(per_key=100_000, per_account=100_000))

    @property
    def authenticate(self):
        return self.authenticator.authenticate


@pytest.fixture
def open_with_key(worker_db, at):
    async def opening(*, scopes=SCOPES, **terms):
        async with worker_db.begin_unscoped() as session:
            account = await open_account(session, name="Ada", email="ada@example.com", at=at)
            terms = KeyTerms("first", frozenset(scopes), created_by=account.user_id, **terms)
            key = await create_key(session, terms, account_id=account.account_id, pepper=PEPPER, at=at)
        return account, key

    return opening


@pytest.fixture
def authenticator(auth_db):
    return Authenticator(auth_db, PEPPER)


@pytest.fixture
def state(api_db, authenticator):
    return State(api_db, authenticator)


@pytest.fixture
def connect(state):
    """Return a client for a secret: ``async with connect(secret) as client``."""
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    install(app, state)

    def connecting(secret):
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=headers)

    return connecting
