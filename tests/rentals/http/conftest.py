"""Callers of the rentals API, listings to rent, and a hand that plays the worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncssh
import httpx
import pytest
from sqlalchemy import event

from app.catalog import endpoints as catalog_endpoints
from app.catalog import refresh_provider
from app.kit.ids import AccountId
from app.kit.vault import Vault
from app.providers.contract import Capability, Offer
from app.rentals.showing.endpoints import ROUTERS
from app.tenancy import Authenticator, KeyTerms, create_key
from app.web import SCOPES, Cursors, Limiter
from tests.applications import new_app
from tests.rentals.http.hand import Hand

PEPPER = b"pepper for tests"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

OFFER = Offer(
    provider="north",
    offer_id="1",
    gpu_name="RTX 4090",
    gpu_count=1,
    vram_mib=24_564,
    price_micros_per_hour=360_000,
    disk_micros_per_gb_month=144_000,
    spot=False,
    region_id="us-oregon",
    region_name="Oregon, US",
    country="US",
    cpu_cores=16,
    ram_mib=65_536,
    disk_gb_max=5000,
    inet_up_mbps=800,
    inet_down_mbps=900,
    cuda_max="12.8",
    reliability_ppm=998_000,
    host_id="77",
)

OFFERS = (
    OFFER,
    replace(
        OFFER, offer_id="2", price_micros_per_hour=500_000, region_id="se-lulea", region_name="Luleå", country="SE"
    ),
    replace(OFFER, offer_id="3", price_micros_per_hour=700_000),
    replace(OFFER, offer_id="4", gpu_name="H100 SXM", vram_mib=81_559, price_micros_per_hour=2_800_000),
)

CAPABILITY = Capability(
    name="north",
    title="North",
    pricing="api",
    launch="instance",
    shutdown="destroy",
    spot=False,
    interruption="none",
    hibernate=False,
    stop=False,
    billing_granularity_seconds=1,
    min_commitment_seconds=0,
    marker_max_length=256,
    realised_cost="exact",
)


class Cloud:
    """A cloud that only tells what it has."""

    def __init__(self, offers: Sequence[Offer], name: str = "north") -> None:
        self.offers = offers
        self.capability = replace(CAPABILITY, name=name, title=name)

    def named(self, name: str, *offers: Offer) -> Cloud:
        """Return another cloud."""
        return Cloud(offers, name)

    async def list_offers(self) -> list[Offer]:
        return list(self.offers)


@dataclass
class HandClock:
    """Stands still until it is moved, also by whoever waits."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class State:
    db: object
    authenticator: Authenticator
    clock: HandClock
    cursors: Cursors = field(default_factory=lambda: Cursors(b"cursor key"))
    limiter: Limiter = field(default_factory=lambda: Limiter(per_key=100_000, per_account=100_000))
    vault: Vault = field(default_factory=lambda: Vault(b"vault key"))

    @property
    def authenticate(self):
        return self.authenticator.authenticate


@dataclass
class Caller:
    """An account with a key, calling."""

    account_id: AccountId
    http: httpx.AsyncClient
    secret: str
    key_id: str

    async def post(self, path, body=None, *, key=None, **options):
        headers = {"Idempotency-Key": key or uuid4().hex, **options.pop("headers", {})}
        return await self.http.post(path, json=body, headers=headers, **options)

    async def get(self, path, **options):
        return await self.http.get(path, **options)

    async def rent(self, **wish):
        answer = await self.post("/v1/rentals", wish or {"family": "rtx-4090"})
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def shown(self, rental_id):
        answer = await self.get(f"/v1/rentals/{rental_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def clock(at):
    return HandClock(at)


@pytest.fixture
def state(api_db, auth_db, clock):
    return State(api_db, Authenticator(auth_db, PEPPER), clock)


@pytest.fixture
def app(state):
    return app_of(state)


@pytest.fixture
def make_app():
    """Return an application for another database, clock and vault."""

    def making(databases, clock, vault):
        return app_of(State(databases.api, Authenticator(databases.auth, PEPPER), clock, vault=vault))

    return making


def app_of(state):
    return new_app(state, *ROUTERS, catalog_endpoints.router)


@pytest.fixture(scope="session")
async def market(databases):
    """What is on offer: 4090s at 0.364, 0.504 and 0.704 an hour with 20 GB, one H100."""
    cloud = Cloud(OFFERS)
    result = await refresh_provider(databases.worker, cloud, at=START)
    assert result.status == "refreshed", result
    return cloud


@pytest.fixture
async def new_caller(app, new_account, worker_db, market, make_caller):
    """Open an account with a key: ``await new_caller(micros=…, scopes=…)``."""

    async def opening(*, micros=10_000_000, scopes=SCOPES, account_id=None):
        account_id = account_id or await new_account(micros=micros)
        return await make_caller(app, worker_db, account_id, scopes=scopes)

    return opening


@pytest.fixture
async def make_caller(at):
    """Give an account a key, and a client for an application."""
    opened = []

    async def making(app, worker_db, account_id, *, scopes=SCOPES, **terms):
        async with worker_db.begin_unscoped() as session:
            terms = KeyTerms("first", frozenset(scopes), **terms)
            key = await create_key(session, terms, account_id=account_id, pepper=PEPPER, at=at)
        http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://test",
            headers={"Authorization": f"Bearer {key.secret}"},
        )
        opened.append(http)
        return Caller(account_id, http, key.secret, key.row.id)

    yield making
    for http in opened:
        await http.aclose()


@pytest.fixture
def statements(api_db):
    """Every statement that the API's database role sends while the scene lasts."""
    sent: list[str] = []

    def note(record):
        sent.append(record.query)

    def note_prepared(_connection, _cursor, statement, *_):  # these the driver does not tell
        sent.append(statement)

    def listen(connection, *_):
        connection.driver_connection.add_query_logger(note)

    def stop(connection, *_):
        connection.driver_connection.remove_query_logger(note)

    engine = api_db._engine.sync_engine
    event.listen(engine, "checkout", listen)
    event.listen(engine, "checkin", stop)
    event.listen(engine, "before_cursor_execute", note_prepared)
    yield sent
    event.remove(engine, "before_cursor_execute", note_prepared)
    event.remove(engine, "checkout", listen)
    event.remove(engine, "checkin", stop)


@pytest.fixture
async def ada(new_caller):
    return await new_caller()


@pytest.fixture
def hand(worker_db, clock):
    return Hand(worker_db, clock)


@pytest.fixture(scope="session")
def new_public_key():
    def making(kind="ssh-ed25519", **options):
        return asyncssh.generate_private_key(kind, comment="ada@laptop", **options).export_public_key().decode().strip()

    return making
