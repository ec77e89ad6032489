"""An account with a key, people who sign in, and an application that knows both."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from app.kit.clock import SystemClock
from app.kit.ids import AccountId, UserId
from app.tenancy import Authenticator, KeyTerms, create_key, open_account
from app.tenancy.endpoints import ROUTERS
from app.tenancy.invariants import broken_for
from app.tenancy.people import Sessions, Tokens
from app.tenancy.people.queries import PUT_PERSON
from app.wallet import open_wallet
from app.web import SCOPES, Cursors, Limiter, Site
from tests.applications import new_app

PEPPER = b"pepper for tests"
SITE = Site.at("http://test")


class MovedClock(SystemClock):
    """The machine's clock, moved ahead by a test."""

    ahead = timedelta()

    def now(self):
        return super().now() + self.ahead


@dataclass
class State:
    db: object
    auth_db: object
    authenticator: Authenticator
    sessions: Sessions | None = None
    clock: MovedClock = field(default_factory=MovedClock)
    cursors: Cursors = field(default_factory=lambda: Cursors(b"cursor key"))
    limiter: Limiter = field(default_factory=lambda: Limiter(per_key=100_000, per_account=100_000))

    @property
    def authenticate(self):
        return self.authenticator.authenticate

    @property
    def open_wallet(self):
        return open_wallet


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
def state(api_db, auth_db, authenticator):
    return State(api_db, auth_db, authenticator, Sessions(auth_db, Tokens(b"tokens for tests"), SITE))


@pytest.fixture
def app(state):
    return new_app(state, *ROUTERS)


@pytest.fixture
def connect(app):
    """Return a client for a secret: ``async with connect(secret) as client``."""

    def connecting(secret):
        return _client(app, {"Authorization": f"Bearer {secret}"})

    return connecting


@dataclass
class Person:
    """Somebody of an account, signed in there: ``await person.ask("GET", "/v1/teams")``."""

    id: UserId
    name: str
    email: str
    client: httpx.AsyncClient

    async def ask(self, method, path, body=None):
        headers = {"Idempotency-Key": uuid4().hex} if method == "POST" else {}
        return await self.client.request(method, path, json=body, headers=headers)

    async def told(self, method, path, body=None, *, status=None):
        """Return the answer's document, having seen its status."""
        answer = await self.ask(method, path, body)
        assert answer.status_code == (status or (201 if method == "POST" else 200)), answer.text
        return answer.json()


@dataclass
class Organization:
    """An account and the people in it, whom tests sign in."""

    id: AccountId
    world: World

    async def join(self, role, *, name=None, email=None):
        """Let a new person in with a role, signed in here."""
        user_id, name = UserId.new(), name or f"{role} {secrets.token_hex(3)}"
        email = email or f"{user_id.lower()}@example.com"
        await self.world.write(
            "INSERT INTO users (account_id, id, email, name, role, joined_at) VALUES (:a, :u, :e, :n, :r, now())",
            a=self.id, u=user_id, e=email, n=name, r=role,
        )  # fmt: skip
        return await self.world.sign_in(user_id, name=name, emails=[email], account_id=self.id)

    async def team(self, owner, *people, name=None, lead=None):
        """Return the id of a new team of some people."""
        made = await owner.told("POST", "/v1/teams", {"name": name or f"team {secrets.token_hex(4)}"})
        path = f"/v1/teams/{made['id']}/members"
        for person in people:
            await owner.told("PUT", f"{path}/{person.id}", {})
        if lead is not None:
            await owner.told("PUT", f"{path}/{lead.id}", {"role": "lead"})
        return made["id"]


class World:
    """Opens organizations, signs people in, connects keys."""

    def __init__(self, app, state, worker_db, stack, *, site=SITE):
        self.site = site
        self.app, self.state, self.worker_db, self.stack = app, state, worker_db, stack
        self.github_ids = {}
        self.opened = []

    async def write(self, statement, **values):
        async with self.worker_db.begin_unscoped() as session:
            await session.execute(text(statement), values)

    async def write_as(self, account_id, statement, **values):
        """Write as the API does for an account."""
        async with self.state.db.begin(account_id) as session:
            await session.execute(text(statement), values)

    async def read(self, statement, **values):
        async with self.worker_db.begin_unscoped() as session:
            return (await session.execute(text(statement), values)).all()

    async def open(self, *, name="Lab"):
        """Return a new organization and its owner, signed in."""
        owner = UserId.new()
        email = f"{owner.lower()}@example.com"
        async with self.worker_db.begin_unscoped() as session:
            opened = await open_account(
                session, name=name, email=email, at=self.state.clock.now(), kind="organization", user_id=owner,
                owner_name="Owner",
            )  # fmt: skip
        self.opened.append(opened.account_id)
        signed_in = await self.sign_in(owner, name="Owner", emails=[email], account_id=opened.account_id)
        return Organization(opened.account_id, self), signed_in

    async def sign_in(self, user_id, *, name, emails, account_id):
        """Sign a person in who chooses an account."""
        at, sessions = self.state.clock.now(), self.state.sessions
        github_id = self.github_ids.setdefault(user_id, secrets.randbits(48))
        known = (user_id, github_id, name.replace(" ", "-"), name, emails, account_id, at)
        await self.state.auth_db.fetch_once(PUT_PERSON, *known)
        secret, person = await sessions.begin(user_id, user_agent="test", address=None, at=at)
        headers = {
            "Cookie": f"{self.site.cookie_name('hourglass')}={secret}",
            "X-CSRF-Token": person.csrf_token,
            "Origin": self.site.origin,
        }
        client = await self.stack.enter_async_context(_client(self.app, headers))
        return Person(user_id, name, emails[0], client)

    async def key(self, person, **terms):
        """Return the client and the document of a new key that somebody makes."""
        body = {"name": "key", "scopes": ["keys:write"], **terms}
        made = await person.told("POST", "/v1/api-keys", body)
        client = await self.stack.enter_async_context(_client(self.app, {"Authorization": f"Bearer {made['secret']}"}))
        return Person(person.id, "key", person.email, client), made

    async def audit(self, account_id):
        """Return what the account's audit tells, oldest first."""
        rows = await self.read(
            "SELECT action, target, details, actor FROM audit_entries WHERE account_id = :a ORDER BY seq", a=account_id
        )
        return [(row.action, row.target, row.details) for row in rows]


@pytest.fixture
async def world(app, state, worker_db):
    async with AsyncExitStack() as stack:
        made = World(app, state, worker_db, stack)
        yield made
    async with worker_db.begin_unscoped() as session:
        assert await broken_for(session, made.opened) == []


@pytest.fixture
async def lab(world):
    """An organization and its owner, signed in."""
    return await world.open()


async def together(*asked):
    """Ask several things at once and return the answers."""
    return await asyncio.gather(*asked)


def _client(app, headers):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=SITE.url, headers=headers)
