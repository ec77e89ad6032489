"""The whole application on a database of its own, with tenants who have something of everything."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import structlog
import uvicorn
from sqlalchemy import text

from app import tenancy, wallet
from app.bootstrap import ApiState
from app.catalog import refresh_provider
from app.kit.ids import AccountId, RentalId
from app.kit.leases import bucket_of
from app.kit.vault import Vault
from app.main import create_app
from app.rentals import queries
from app.rentals.models import AttemptRow, LogRow
from app.rentals.runs import begin_run
from app.rentals.states import Status, move
from app.sandbox import Sandbox, SandboxConfig
from app.tenancy import Authenticator, KeyTerms, create_key
from app.tenancy.people import Sessions, Tokens
from app.topups import Stripe, TopupTools
from app.web import SCOPES, Cursors, Limiter, Site

from . import paying, teaming
from .calling import Caller
from .market import Cloud
from .operations import Operation, operations

PEPPER = b"pepper for tests"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TRANSFERS = text("SELECT id FROM transfers ORDER BY seq DESC LIMIT 2")
STRIPE_KEY = "sk_test_canary4f1b77"
WEBHOOK_SECRET = "whsec_canary91d2e0"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c laptop"


@dataclass
class HandClock:
    """Stands still until it is moved."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@dataclass
class Tenant:
    """An account, its first key, and the ids of what it has by collection."""

    account_id: AccountId
    key_id: str
    caller: Caller
    has: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class World:
    """The application, its database and its clock, and the Stripe that it takes cards with, if any."""

    databases: Any
    state: ApiState
    app: Any
    clock: HandClock
    sandbox: Sandbox | None = None

    @property
    def worker(self) -> TopupTools:
        """What the worker carries card money out with."""
        return replace(self.state.topups, db=self.databases.worker)

    @property
    def operations(self) -> list[Operation]:
        return operations(self.app.openapi())

    @property
    def stranger(self) -> Caller:
        """Somebody without a key."""
        return Caller(self.app)

    async def open(self, *, micros: int = 20_000_000) -> Tenant:
        """Open an account with some money and a key that may do everything."""
        async with self.databases.worker.begin_unscoped() as session:
            opened = await tenancy.open_account(session, name="Test", email=f"{uuid4().hex}@example.com", at=START)
            await wallet.open_wallet(session, account_id=opened.account_id, at=START)
            if micros:
                await wallet.credit_adjustment(
                    session,
                    account_id=opened.account_id,
                    amount=micros,
                    reference="opening",
                    reason="opening credit",
                    actor="test",
                    at=START,
                )
        secret, key_id = await self.key(opened.account_id, scopes=SCOPES)
        return Tenant(opened.account_id, key_id, Caller(self.app, secret))

    async def key(self, account_id: AccountId, *, scopes, expires_at=None) -> tuple[str, str]:
        """Make a key and return its secret and id."""
        async with self.databases.worker.begin_unscoped() as session:
            terms = KeyTerms("key", frozenset(scopes), expires_at=expires_at)
            key = await create_key(session, terms, account_id=account_id, pepper=PEPPER, at=START)
        return key.secret, key.row.id

    async def furnish(self, tenant: Tenant) -> Tenant:
        """Give a tenant something of everything that has an id."""
        return (await self.furnish_all([tenant]))[0]

    async def furnish_all(self, tenants: list[Tenant]) -> list[Tenant]:
        """Give each tenant something of everything that has an id."""
        self.clock.at = START
        await asyncio.gather(*(self.begin(tenant) for tenant in tenants))
        self.clock.at = START + timedelta(seconds=650)
        await asyncio.gather(*(self.go_on(tenant) for tenant in tenants))
        return tenants

    async def begin(self, tenant: Tenant) -> None:
        """Let a tenant make things, rent twice and pay in."""
        caller = tenant.caller
        key = await caller.made("/v1/ssh-keys", {"name": "laptop", "public_key": PUBLIC_KEY})
        template = await caller.made(
            "/v1/templates", {"name": f"tpl {tenant.account_id[-8:]}", "image": "a/b", "startup_script": "nvidia-smi"}
        )
        quote = await caller.made("/v1/quotes", {"family": "rtx-4090"})
        other = await caller.made("/v1/api-keys", {"name": "second", "scopes": ["rentals:read"], "mode": "test"})
        rentals = [
            (await caller.made("/v1/rentals", {"family": "rtx-4090", "env": {"A": "1"}, "tags": {"of": name}}))["id"]
            for name in ("live", "over")
        ]
        for rental_id in rentals:
            await self.start(tenant, rental_id)
        tenant.has = {
            "rentals": rentals,
            "ssh-keys": [key["id"]],
            "templates": [template["id"], template["name"].replace(" ", "%20")],
            "quotes": [quote["id"]],
            "api-keys": [other["id"], tenant.key_id],
            **await teaming.gather(self, tenant),
            **await paying.deposit(self, tenant),
        }

    async def go_on(self, tenant: Tenant) -> None:
        """Let a tenant's time pass: usage, a stop, and second thoughts about the payment."""
        live, over = tenant.has["rentals"]
        await self.settle(tenant, live)
        await tenant.caller.ask("DELETE", f"/v1/rentals/{over}")
        tenant.has |= await paying.regret(self, tenant, tenant.has["payments"][0])
        tenant.has["statements"] = ["2026-03"]
        async with self.databases.api.begin(tenant.account_id) as session:
            rows = await session.execute(TRANSFERS)
            tenant.has["ledger"] = list(rows.scalars())

    async def start(self, tenant: Tenant, rental_id: str) -> None:
        """Do what placement does: the machine has passed its check, and said something."""
        at, account_id, known = self.clock.now(), tenant.account_id, RentalId(rental_id)
        async with self.databases.worker.begin_unscoped() as session:
            await wallet.lock(session, account_id=account_id)
            row = await queries.lock_rental(session, account_id=account_id, rental_id=known)
            session.add(
                AttemptRow(
                    account_id=account_id,
                    rental_id=known,
                    number=1,
                    bucket=row.bucket,
                    status="live",
                    provider=row.listing["provider"],
                    offer_id=row.listing["offer_id"],
                    listing=row.listing,
                    marker=f"hg-test-{known}-1",
                    machine_id=f"m-{known}",
                    connection={"host": "203.0.113.7", "port": 2201, "username": "root", "ports": {}},
                    created_at=at,
                    live_at=at,
                    destroy_tries=0,
                )
            )
            session.add(LogRow(account_id=account_id, rental_id=known, from_offset=0, text="hello\n", at=at))
            row.log_offset = 6
            await wallet.start(session, account_id=account_id, rental_id=known, at=at)
            row.attempts, row.running_at, row.heartbeat_at, row.next_at = 1, at, at, None
            await session.flush()
            await begin_run(session, row, attempt=1, at=at)
            await move(session, row, Status.RUNNING, at=at)

    async def settle(self, tenant: Tenant, rental_id: str) -> None:
        due = wallet.Due(tenant.account_id, RentalId(rental_id), bucket_of(tenant.account_id))
        async with self.databases.worker.begin_unscoped() as session:
            await wallet.settle(session, [due], at=self.clock.now())


@pytest.fixture(scope="session")
def quiet_logs():
    """Ten thousand requests would say ten thousand things."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    """A Stripe with nothing in it."""
    config = SandboxConfig(
        stripe_key=STRIPE_KEY, stripe_webhook_secret=WEBHOOK_SECRET, ssh_port=0, price_step_seconds=0
    )
    opened = await Sandbox.start(config)
    yield opened
    await opened.aclose()


@pytest.fixture(scope="session")
async def world(open_databases, sandbox, quiet_logs) -> AsyncIterator[World]:
    async with open_databases() as databases, stripe_of(sandbox) as stripe:
        made = new_world(databases, stripe=stripe, sandbox=sandbox)
        result = await refresh_provider(databases.worker, Cloud(), at=START)
        assert result.status == "refreshed", result
        yield made


@asynccontextmanager
async def stripe_of(sandbox: Sandbox) -> AsyncIterator[Stripe]:
    """Open a gateway to a sandbox's Stripe."""
    opened = Stripe(STRIPE_KEY, base_url=sandbox.url, webhook_secrets=(WEBHOOK_SECRET,), deployment="test")
    try:
        yield opened
    finally:
        await opened.aclose()


def new_world(
    databases, *, vault: Vault | None = None, stripe: Stripe | None = None, sandbox: Sandbox | None = None
) -> World:
    """Return the application on a database."""
    clock = HandClock(START)
    state = ApiState(
        db=databases.api,
        auth_db=databases.auth,
        clock=clock,
        authenticator=Authenticator(databases.auth, PEPPER),
        cursors=Cursors(b"cursor key"),
        limiter=Limiter(per_key=10**7, per_account=10**7, failures_per_address=10**7),
        vault=vault or Vault(b"test"),
        topups=TopupTools(
            db=databases.api, stripe=stripe, clock=clock, public_url="http://api.test", deployment="test"
        ),
        sessions=Sessions(databases.auth, Tokens(b"tokens for tests"), Site.at("http://test")),
    )
    return World(databases, state, create_app(state), clock, sandbox)


@asynccontextmanager
async def serving(config: uvicorn.Config) -> AsyncIterator[str]:
    """Serve on a free port of this machine."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:  # asyncio sends small answers at once only if told TCP
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running


@pytest.fixture
async def tenant(world) -> Tenant:
    """Somebody with money and nothing else."""
    return await world.open()


@pytest.fixture(scope="session")
async def furnished(world) -> Tenant:
    """Somebody with something of everything; for tests that leave it as it is."""
    return await world.furnish(await world.open())


@pytest.fixture
def aimed(furnished):
    """The path of an operation with ids of the tenant's own."""

    def aiming(operation):
        return operation.at(**{name: furnished.has.get(has, ["rtx-4090"])[0] for has, name in operation.owners})

    return aiming
