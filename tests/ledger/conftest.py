"""An application with the ledger's routes, and callers who have keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import httpx
import pytest

from app.kit.db import Database
from app.ledger import invariants
from app.ledger.endpoints import router
from app.tenancy import Authenticator, KeyTerms, create_key
from app.web import SCOPES, Cursors, Limiter
from tests.applications import new_app

PEPPER = b"pepper for tests"


@dataclass
class HandClock:
    at: datetime

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


@dataclass
class State:
    db: Database
    authenticator: Authenticator
    clock: HandClock
    cursors: Cursors = field(default_factory=lambda: Cursors(b"cursor key"))
    limiter: Limiter = field(default_factory=lambda: Limiter(per_key=100_000, per_account=100_000))

    @property
    def authenticate(self):
        return self.authenticator.authenticate


@pytest.fixture
async def new_account(new_account, worker_db):
    """Open accounts that end with the ledger's invariants alone: scenes here move money below the wallet's room."""
    opened = []

    async def opening(*, db=worker_db, **options):
        account = await new_account(db=db, audited=False, **options)
        if db is worker_db:
            opened.append(account)
        return account

    yield opening
    async with worker_db.begin_unscoped() as session:
        assert await invariants.broken_for(session, opened) == []


@pytest.fixture
def clock(at):
    return HandClock(at)


@pytest.fixture
async def client_for(api_db, auth_db, worker_db, clock):
    """Return a client of an account: ``client = await client_for(account, "billing:read")``."""
    app = new_app(State(api_db, Authenticator(auth_db, PEPPER), clock), router)
    clients = []

    async def connecting(account, *scopes):
        async with worker_db.begin_unscoped() as session:
            terms = KeyTerms("key", frozenset(scopes or SCOPES), created_by=None)
            key = await create_key(session, terms, account_id=account, pepper=PEPPER, at=clock.now())
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://test",
            headers={"Authorization": f"Bearer {key.secret}"},
        )
        clients.append(client)
        return client

    yield connecting
    for client in clients:
        await client.aclose()
