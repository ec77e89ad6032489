"""An account's books, and callers of the reports' routes who see all of it or a part."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import pytest

from app.kit.db import Database
from app.kit.ids import ApiKeyId
from app.reports import endpoints
from app.statements import endpoints as statement_endpoints
from app.web import SCOPES, Cursors, Limiter, Principal
from app.web.errors import Unauthorized
from tests.applications import new_app
from tests.reports.ground import Books


@dataclass
class HandClock:
    at: datetime

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


@dataclass
class State:
    """Knows its callers by heart."""

    db: Database
    clock: HandClock
    callers: dict[str, Principal] = field(default_factory=dict)
    cursors: Cursors = field(default_factory=lambda: Cursors(b"cursor key"))
    limiter: Limiter = field(default_factory=lambda: Limiter(per_key=100_000, per_account=100_000))

    async def authenticate(self, secret: str, **_: Any) -> Principal:
        if secret not in self.callers:
            raise Unauthorized
        return self.callers[secret]


@pytest.fixture
async def books(worker_db: Database, new_account: Any) -> Books:
    """Books with $1,000; what other rooms say of rentals is not about these."""
    return Books(worker_db, await new_account(micros=1_000_000_000))


@pytest.fixture
def clock(at: datetime) -> HandClock:
    return HandClock(at)


@pytest.fixture
async def client_for(api_db: Database, clock: HandClock):
    """Return a client: ``client = await client_for(account, "teams:read", reach=frozenset({team}))``."""
    state, clients = State(api_db, clock), []
    app = new_app(state, endpoints.router, statement_endpoints.router)

    async def connecting(account, *scopes, **more):
        secret = f"secret-{len(state.callers)}"
        terms = {"key_id": ApiKeyId.new(), "user_id": None, "live": True, "name": "test"} | more
        state.callers[secret] = Principal(account, scopes=frozenset(scopes or SCOPES), **terms)
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://test",
            headers={"Authorization": f"Bearer {secret}"},
        )
        clients.append(client)
        return client

    yield connecting
    for client in clients:
        await client.aclose()
