"""The room's routes over real HTTP shapes, a worker that tells and sends by a clock in the test's hand, and receivers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from app import tenancy
from app.events import Event, record
from app.kit.clock import SystemClock
from app.kit.db import driver
from app.kit.destinations import Rules
from app.kit.egress import Egress, context_trusting
from app.kit.ids import AccountId, ApiKeyId, RentalId, SessionId, UserId
from app.kit.leases import BUCKETS, bucket_name, hold_share
from app.kit.public_addresses import networks
from app.kit.reconcile import Round, Runner
from app.kit.vault import Vault
from app.notifications import Owner
from app.notifications.endpoints import ROUTERS
from app.notifications.invariants import broken_for
from app.notifications.reconcilers import delivering, telling
from app.web import SCOPES, Cursors, Limiter, Principal, SignedIn, Site
from app.web.errors import Unauthorized
from tests.applications import new_app
from tests.receiving import new_authority, receiving

NAMES = [bucket_name(bucket) for bucket in range(BUCKETS)]
HERE = networks(["127.0.0.1/32"])
VAULT = Vault(b"a secret of the tests")


@dataclass
class HandClock(SystemClock):
    """Stands still until it is moved; what waits by it waits really."""

    at: object

    def now(self):
        return self.at

    async def sleep(self, seconds):
        await super().sleep(min(seconds, 0.01))


@dataclass
class People:
    """Recognises people by the secret in their cookie, which is their id."""

    signed_in: dict[str, SignedIn] = field(default_factory=dict)
    site: Site = field(default_factory=lambda: Site.at("http://test"))

    async def recognise(self, secret, *, at):
        if secret not in self.signed_in:
            raise Unauthorized
        return self.signed_in[secret]

    async def keep(self, secret, *, at):
        return None


@dataclass
class State:
    """What bootstrap would make, with callers known by heart."""

    db: object
    clock: HandClock
    vault: Vault = VAULT
    webhook_rules: Rules = field(default_factory=lambda: Rules(HERE))
    cursors: Cursors = field(default_factory=lambda: Cursors(b"cursor key"))
    limiter: Limiter = field(default_factory=lambda: Limiter(per_key=100_000, per_account=100_000))
    sessions: People = field(default_factory=People)
    callers: dict[str, Principal] = field(default_factory=dict)

    async def authenticate(self, secret, *, at, address):
        if secret not in self.callers:
            raise Unauthorized
        return self.callers[secret]


@dataclass
class Office:
    """One database with the room at work on it."""

    databases: object
    clock: HandClock
    app: FastAPI
    state: State
    egress: Egress
    owners: dict = field(default_factory=dict)
    worker: str = "wrk_1"

    def caller(self, account_id, *, scopes=SCOPES, user_id=None, **more):
        """Return a client for a key of an account."""
        secret = uuid4().hex
        key_id = ApiKeyId.new()
        self.state.callers[secret] = Principal(account_id, key_id, user_id, frozenset(scopes), True, "key", **more)
        client = self._client({"Authorization": f"Bearer {secret}"})
        client.secret, client.principal = secret, self.state.callers[secret]
        return client

    def person(self, account_id, user_id, *, role="owner", **more):
        """Return a client for a person's browser."""
        principal = Principal(
            account_id, None, user_id, tenancy.scopes_of(role), True, "person", SessionId.new(), role=role, **more
        )
        who = SignedIn(
            session_id=principal.session_id,
            person_id=user_id,
            name="person",
            emails=(),
            account_id=account_id,
            principal=principal,
            suspended=False,
            ends_at=self.clock.at + timedelta(days=1),
            csrf_token="token",
        )
        self.state.sessions.signed_in[user_id] = who
        return self._client({"Cookie": f"hourglass={user_id}", "X-CSRF-Token": "token", "Origin": "http://test"})

    def _client(self, headers):
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://test", headers=headers)

    async def happen(self, account_id, type_, subject=None, *, at=None, **data):
        """Record an event in a transaction of its own."""
        async with self.databases.worker.begin_unscoped() as session:
            event = Event(account_id, subject or account_id, type_, at or self.clock.at, data=data)
            await record(session, event)

    async def rental(self, account_id, *, team_id=None, made_by=None, person=None):
        rental_id = RentalId.new()
        self.owners[account_id, rental_id] = Owner(team_id, made_by, person)
        return rental_id

    async def whose(self, _session, rentals):
        return {one: self.owners[one] for one in rentals if one in self.owners}

    async def run(self, reconciler):
        holding = await hold_share(self.databases.worker, self.worker, NAMES)
        return dict(await Runner(reconciler).run_once(Round(self.clock.at, holding)))

    def telling(self):
        return telling(self.databases.worker, self.clock, whose=self.whose)

    def delivering(self):
        return delivering(self.databases.worker, self.clock, self.egress, VAULT)

    async def tell(self):
        return await self.run(self.telling())

    async def send(self):
        return await self.run(self.delivering())

    def later(self, **span):
        self.clock.at += timedelta(**span)

    async def fetch(self, statement, *args):
        async with self.databases.worker.begin_unscoped() as session:
            return await driver(session).fetch(statement, *args)

    async def open(self, *, email=None, role="owner"):
        """Open an account; return its id and its owner's."""
        async with self.databases.worker.begin_unscoped() as session:
            opened = await tenancy.open_account(
                session, name="Ada", email=email or f"{uuid4().hex}@example.com", at=self.clock.at
            )
        return opened.account_id, opened.user_id

    async def join(self, account_id, *, email, role):
        """Let somebody join an account; return the person's id."""
        user_id = UserId.new()
        await self.fetch(
            "INSERT INTO users (account_id, id, email, name, role, joined_at) VALUES ($1, $2, $3, 'x', $4, $5)",
            account_id, user_id, email, role, self.clock.at,
        )  # fmt: skip
        return user_id

    async def webhook(self, client, url, **more):
        """Make a webhook; return it as it was answered, secret included."""
        made = await client.post("/v1/webhooks", json={"url": url, **more}, headers=key())
        assert made.status_code == 201, made.text
        return made.json()

    async def deliveries(self, client, webhook, **params):
        listed = await client.get(f"/v1/webhooks/{webhook['id']}/deliveries", params=params)
        assert listed.status_code == 200, listed.text
        return listed.json()["data"]


def key():
    """Return the header of a request that was never sent before."""
    return {"Idempotency-Key": uuid4().hex}


class Names:
    """Every name is this machine's, but for those that a test says otherwise of."""

    def __init__(self):
        self.known = {}

    async def __call__(self, host, port):
        return self.known.get(host, ["127.0.0.1"])


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return new_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def trusting(authority):
    return context_trusting(authority.file)


@pytest.fixture(scope="session")
async def own_databases(open_databases):
    async with open_databases() as opened:
        yield opened


@pytest.fixture
async def office(own_databases, at, trusting):
    """A database in which nothing waits but this test's, and which is right when the test ends."""
    clock = HandClock(at)
    state = State(own_databases.api, clock)
    app = new_app(state, *ROUTERS)
    opened = Office(own_databases, clock, app, state, Egress(Rules(HERE), trusting, Names()))
    await opened.tell()
    await _clear(own_databases)
    yield opened
    async with own_databases.worker.begin_unscoped() as session:
        accounts = [
            AccountId(row["account_id"]) for row in await driver(session).fetch("SELECT account_id FROM accounts")
        ]
        assert await broken_for(session, accounts) == []


async def _clear(databases):
    async with databases.worker.begin_unscoped() as session:
        for table in ("webhook_deliveries", "mails"):
            await driver(session).execute(f"DELETE FROM {table}")


@pytest.fixture
async def account(office):
    return (await office.open())[0]


@pytest.fixture
async def client(office, account):
    async with office.caller(account) as opened:
        yield opened


@pytest.fixture
async def receiver(authority):
    async with receiving(authority.server) as opened:
        yield opened
