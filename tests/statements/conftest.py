"""An application with the routes of statements and of the ledger, callers with keys, and money that moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
import pytest

from app import ledger
from app.kit.db import Database
from app.kit.ids import PaymentId, RentalId
from app.kit.money import cost
from app.ledger import Kind, Movement, Usage
from app.ledger import endpoints as ledger_endpoints
from app.statements import endpoints
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
def clock(at):
    return HandClock(at)


@pytest.fixture
def app(api_db, auth_db, clock):
    return new_app(State(api_db, Authenticator(auth_db, PEPPER), clock), endpoints.router, ledger_endpoints.router)


@pytest.fixture
async def key_of(worker_db, at):
    """Make a key: ``secret = await key_of(account, "billing:read")``."""

    async def making(account, *scopes):
        async with worker_db.begin_unscoped() as session:
            terms = KeyTerms("key", frozenset(scopes or SCOPES), created_by=None)
            made = await create_key(session, terms, account_id=account, pepper=PEPPER, at=at)
        return made.secret

    return making


@pytest.fixture
async def client_for(app, key_of):
    """Return a client of an account: ``client = await client_for(account, "billing:read")``."""
    clients = []

    async def connecting(account, *scopes):
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://test",
            headers={"Authorization": f"Bearer {await key_of(account, *scopes)}"},
        )
        clients.append(client)
        return client

    yield connecting
    for client in clients:
        await client.aclose()


@dataclass
class Money:
    """Moves an account's money, at any time of any month."""

    db: Database
    account: str
    moved: int = 0
    running: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """By rental: its rate, the seconds billed, what is held."""

    async def move(self, kind, amount, at, **more):
        self.moved += 1
        movement = Movement(self.account, kind, amount, f"m:{self.moved}", at, actor="test", **more)
        async with self.db.begin_unscoped() as session:
            await ledger.post(session, movement)

    async def deposit(self, amount, at, *, payment=None):
        """Let money come in; a debt is paid first."""
        self.moved += 1
        movement = Movement(
            self.account, Kind.DEPOSIT, amount, f"m:{self.moved}", at, reference=payment or PaymentId.new()
        )
        async with self.db.begin_unscoped() as session:
            await ledger.post_inflow(session, movement)
        return movement.reference

    async def begin(self, rate, at):
        rental = RentalId.new()
        await self.move(Kind.RESERVE, rate, at, rental_id=rental)
        self.running[rental] = (rate, 0, rate)
        return rental

    async def use(self, rental, seconds, at):
        """Capture seconds, as far as the hold goes."""
        rate, billed, held = self.running[rental]
        amount = cost(rate, billed + seconds) - cost(rate, billed)
        if 0 < amount <= held:
            usage = Usage(rate, billed, billed + seconds)
            await self.move(Kind.USAGE, amount, at, rental_id=rental, usage=usage)
            self.running[rental] = (rate, billed + seconds, held - amount)
        return amount

    async def end(self, rental, at):
        _, _, held = self.running.pop(rental)
        if held:
            await self.move(Kind.RELEASE, held, at, rental_id=rental)


@pytest.fixture
async def money(worker_db, new_account):
    """An account's money; what it ends with is what its ledger adds up to, whatever the holds of no rental say."""
    return Money(worker_db, await new_account(audited=False))


@pytest.fixture
async def busy(money, at):
    """Two months: a deposit and a rental in the first, a rental that runs into the second."""
    january = at.replace(month=1, day=10)
    await money.deposit(50_000_000, january)
    first = await money.begin(2_800_000, january + timedelta(hours=1))
    await money.use(first, 1_800, january + timedelta(hours=2))
    await money.end(first, january + timedelta(hours=2))
    second = await money.begin(7_777_777, january.replace(day=31))
    await money.use(second, 1_000, january.replace(day=31, hour=23, minute=59, second=59, microsecond=999_999))
    await money.use(second, 77, january.replace(month=2, day=1))
    await money.end(second, january.replace(month=2, day=1))
    await money.move(Kind.HOST_FAULT_REFUND, 140_000, january.replace(month=2, day=2), rental_id=first)
    await money.deposit(25_000_000, january.replace(month=2, day=3))
    return money
