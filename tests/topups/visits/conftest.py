"""A till of the sandbox's, our gateway to it, and callers who have keys."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from app.events import list_events
from app.kit.db import Database, driver
from app.kit.ids import AccountId
from app.kit.vault import Vault
from app.ledger import lock_wallet
from app.sandbox import Fault, Sandbox, SandboxConfig
from app.tenancy import Authenticator, KeyTerms, create_key
from app.topups import Stripe, TopupTools
from app.topups.visits import card_endpoints
from app.topups.visits import endpoints as checkout_endpoints
from app.topups.visits.checkouts import Purpose, Wish, open_checkout
from app.web import SCOPES, Cursors, Limiter
from tests.applications import new_app

PEPPER = b"pepper for tests"
DEPLOYMENT = "tills"
CONFIG = SandboxConfig(ssh_port=0, price_step_seconds=0, stripe_settle_seconds=None)
KEY = CONFIG.stripe_key


@dataclass
class HandClock:
    """Product time, ours and Stripe's alike, moved by hand."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.2))

    def move(self, **span: float) -> datetime:
        self.at += timedelta(**span)
        return self.at


@dataclass
class State:
    """What the application has."""

    db: Database
    authenticator: Authenticator
    clock: HandClock
    topups: TopupTools
    cursors: Cursors = field(default_factory=lambda: Cursors(b"cursor key"))
    limiter: Limiter = field(default_factory=lambda: Limiter(per_key=100_000, per_account=100_000))
    vault: Vault = field(default_factory=lambda: Vault(b"vault key"))

    @property
    def authenticate(self):
        return self.authenticator.authenticate


@dataclass
class Till:
    """One deployment that takes cards."""

    sandbox: Sandbox
    tools: TopupTools
    clock: HandClock

    @property
    def stripe(self):
        """Stripe's side."""
        return self.sandbox.stripe

    @property
    def gateway(self) -> Stripe:
        """Ours."""
        return self.tools.stripe

    def fault(self, kind: str, call: str, **more) -> None:
        self.sandbox.faults.add(Fault(kind, operation=f"stripe.{call}", **more))

    def objects(self, kind: str, account: AccountId) -> list[dict]:
        """What Stripe has of one account."""
        return [one for one in self.stripe.books.store.all(kind) if one["metadata"].get("account_id") == account]

    def wish(self, **more) -> Wish:
        return Wish(
            **({"purpose": Purpose.DEPOSIT, "key": uuid4().hex, "created_by": "test", "amount": 25_000_000} | more)
        )

    async def open(self, account: AccountId, **more):
        """Open a visit."""
        return (await open_checkout(self.tools, self.wish(**more), account_id=account, at=self.clock.now())).row

    async def rows(self, table: str, account: AccountId) -> list[dict]:
        async with self.tools.db.begin(account) as session:
            found = await driver(session).fetch(f"SELECT * FROM {table} WHERE account_id = $1", account)
        return [dict(row) for row in found]

    async def available(self, account: AccountId) -> int:
        async with self.tools.db.begin(account) as session:
            return (await lock_wallet(session, account)).available

    async def deposits(self, account: AccountId) -> list[int]:
        return [row["amount"] for row in await self.rows("transfers", account) if row["kind"] == "deposit"]

    async def told(self, account: AccountId) -> Counter[str]:
        """The account's events, by type."""
        async with self.tools.db.begin(account) as session:
            return Counter(event.type for event in await list_events(session, account_id=account, subject=account))


@dataclass
class Caller:
    """An account with a key, calling."""

    account_id: AccountId
    http: httpx.AsyncClient

    async def post(self, path, body=None, *, key=None):
        return await self.http.post(path, json=body, headers={"Idempotency-Key": key or uuid4().hex})


@pytest.fixture(scope="module")
async def clock():
    from app.kit.clock import SystemClock

    return HandClock(SystemClock().now().replace(microsecond=0))


@pytest.fixture(scope="module")
async def sandbox(clock):
    opened = await Sandbox.start(CONFIG, clock=clock)
    yield opened
    await opened.aclose()


@pytest.fixture
async def gateway(sandbox):
    """Waits for a second, not for twenty."""
    sandbox.faults.clear()
    opened = Stripe(
        KEY, base_url=sandbox.url, webhook_secrets=("whsec_sandbox",), timeout_seconds=1.0, deployment=DEPLOYMENT
    )
    yield opened
    await opened.aclose()
    sandbox.faults.clear()


@pytest.fixture
def till(sandbox, gateway, clock, worker_db):
    """As the worker sees it."""
    return Till(sandbox, TopupTools(worker_db, gateway, clock, "http://test", DEPLOYMENT), clock)


@pytest.fixture
def api_till(sandbox, gateway, clock, api_db):
    """As the API sees it: one account at a time."""
    return Till(sandbox, TopupTools(api_db, gateway, clock, "http://test", DEPLOYMENT), clock)


@pytest.fixture
def app(api_till, api_db, auth_db):
    return app_of(State(api_db, Authenticator(auth_db, PEPPER), api_till.clock, api_till.tools))


def app_of(state: State) -> FastAPI:
    return new_app(state, checkout_endpoints.router, card_endpoints.router, card_endpoints.public_router)


@pytest.fixture
async def new_caller(app, new_account, worker_db, clock):
    """Open an account with a key: ``await new_caller(scopes=…)``."""
    opened = []

    async def opening(*, scopes=SCOPES, using=None):
        account_id = await new_account()
        async with worker_db.begin_unscoped() as session:
            terms = KeyTerms("first", frozenset(scopes))
            key = await create_key(session, terms, account_id=account_id, pepper=PEPPER, at=clock.now())
        http = httpx.AsyncClient(
            transport=httpx.ASGITransport(using or app),
            base_url="http://test",
            headers={"Authorization": f"Bearer {key.secret}"},
        )
        opened.append(http)
        return Caller(account_id, http)

    yield opening
    for http in opened:
        await http.aclose()


@pytest.fixture
async def ada(new_caller):
    return await new_caller()
