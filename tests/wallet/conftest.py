"""An application with the wallet's routes, and callers who have keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import httpx
import pytest

from app import wallet
from app.events import list_events
from app.kit.db import Database, driver
from app.kit.ids import RentalId
from app.kit.leases import BUCKETS, Holding, bucket_name, bucket_of
from app.tenancy import Authenticator, KeyTerms, create_key
from app.wallet.endpoints import router
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


@pytest.fixture
def run_rental(worker_db, at):
    """Hold for a rental and start it: ``rental = await run_rental(account, rate=2_800_000)``."""

    async def running(account, *, rate=2_800_000, started=at, max_spend=None):
        rental = RentalId.new()
        async with worker_db.begin_unscoped() as session:
            await wallet.hold(
                session, account_id=account, rental_id=rental, rate=rate, at=started, actor="test", max_spend=max_spend
            )
            await wallet.start(session, account_id=account, rental_id=rental, at=started)
        return rental

    return running


@pytest.fixture
def settle_at(worker_db):
    """Settle some rentals of an account at a moment."""

    async def settling(account, *rentals, at):
        due = [wallet.Due(account, rental, bucket_of(account)) for rental in rentals]
        async with worker_db.begin_unscoped() as session:
            return await wallet.settle(session, due, at=at)

    return settling


@pytest.fixture
def close_at(worker_db):
    """Stop a rental at a moment."""

    async def closing(account, rental, *, at, until=None):
        async with worker_db.begin_unscoped() as session:
            return await wallet.close(session, account_id=account, rental_id=rental, at=at, billable_until=until or at)

    return closing


@pytest.fixture
def look(worker_db):
    """Return the balance of an account at a moment."""

    async def looking(account, *, at):
        async with worker_db.begin_unscoped() as session:
            return await wallet.get_balance(session, account_id=account, at=at)

    return looking


@pytest.fixture
def view(worker_db):
    """Return a rental's hold."""

    async def viewing(account, rental):
        async with worker_db.begin_unscoped() as session:
            return (await wallet.find_holds(session, account_id=account, rental_ids=[rental]))[rental]

    return viewing


@pytest.fixture
def told(worker_db):
    """Return the types and data of an account's own events."""

    async def telling(account):
        async with worker_db.begin_unscoped() as session:
            rows = await list_events(session, account_id=account, subject=account, limit=1000)
            return [(row.type, row.data) for row in rows]

    return telling


@pytest.fixture
async def holding(worker_db):
    """Everything there is, held by one worker, under fences higher than any before."""
    names = [bucket_name(bucket) for bucket in range(BUCKETS)]
    async with worker_db.begin_unscoped() as session:
        rows = await driver(session).fetch(
            "INSERT INTO leases (name, owner, fence, expires_at) SELECT name, 'me', 1, now() FROM unnest($1::text[]) AS n(name) "
            "ON CONFLICT (name) DO UPDATE SET owner = 'me', fence = leases.fence + 1 RETURNING name, fence",
            names,
        )
    return Holding("me", {row["name"]: row["fence"] for row in rows})
