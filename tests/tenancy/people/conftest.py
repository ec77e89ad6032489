"""The API where people sign in, served over HTTP, a GitHub they come from, and browsers."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
import uvicorn

from app.kit.db import driver
from app.kit.ids import AccountId
from app.sandbox import Sandbox, SandboxConfig
from app.sandbox.people import GithubEmail, GithubPerson
from app.tenancy import Authenticator, open_account
from app.tenancy.endpoints import ROUTERS
from app.tenancy.people import Sessions, Tokens, endpoints, session_endpoints
from app.tenancy.people.github import Github
from app.tenancy.people.signing_in import CALLBACK, SignIn
from app.wallet import open_wallet
from app.web import Cursors, Limiter, Site
from tests.applications import new_app

PEPPER = b"pepper for tests"
MANY = 10**7


class HandClock:
    """Stands still until it is moved, for the API and its GitHub alike."""

    def __init__(self):
        self.at = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def now(self):
        return self.at

    async def sleep(self, seconds):
        await asyncio.sleep(seconds)

    def advance(self, **duration):
        self.at += timedelta(**duration)


@dataclass
class State:
    db: object
    authenticator: Authenticator
    sessions: Sessions
    sign_in: SignIn | None
    clock: HandClock
    cursors: Cursors = field(default_factory=lambda: Cursors(b"cursor key"))
    limiter: Limiter = field(
        default_factory=lambda: Limiter(
            per_key=MANY, per_account=MANY, failures_per_address=MANY, sign_ins_per_address=MANY
        )
    )

    @property
    def authenticate(self):
        return self.authenticator.authenticate


@dataclass
class Town:
    """Everything: the API at an address, its state, its GitHub and its databases."""

    url: str
    state: State
    sandbox: Sandbox
    databases: object
    tokens: Tokens

    @property
    def clock(self):
        return self.state.clock

    def newcomer(self, **changes):
        """Let somebody have an account at GitHub, and return that person."""
        number = secrets.randbelow(2**40) + 1
        login = f"p{number}"
        terms = {
            "id": number,
            "login": login,
            "name": f"Person {number}",
            "emails": (GithubEmail(f"{login}@example.com"),),
        }
        person = GithubPerson(**(terms | changes))
        self.sandbox.github.people[person.id] = person
        return person

    def browser(self, **headers):
        return Browser(self, httpx.AsyncClient(base_url=self.url, headers=headers, verify=False))

    async def rows(self, statement, *args):
        return await self.databases.auth.fetch_once(statement, *args)

    async def organisation(self, *people, role="member"):
        """Open another account, to which some people belong, and return its id."""
        async with self.databases.worker.begin_unscoped() as session:
            opened = await open_account(
                session, name="Org", email=f"{secrets.token_hex(8)}@example.com", kind="organization", at=self.clock.at
            )
            await open_wallet(session, account_id=opened.account_id, at=self.clock.at)
        for person_id in people:
            await self.join(opened.account_id, person_id, role=role)
        return opened.account_id

    async def join(self, account_id, person_id, *, role="member"):
        await self.execute(
            account_id,
            "INSERT INTO users (account_id, id, email, name, role, joined_at) VALUES ($1, $2, $3, 'x', $4, $5)",
            account_id, person_id, f"{secrets.token_hex(8)}@example.com", role, self.clock.at,
        )  # fmt: skip

    async def execute(self, account_id, statement, *args):
        async with self.databases.api.begin(AccountId(account_id)) as session:
            await driver(session).execute(statement, *args)


class Browser:
    """Somebody's browser: it keeps cookies and follows where it is sent when it is told to."""

    def __init__(self, town, http):
        self.town = town
        self.http = http

    async def __aenter__(self):
        await self.http.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self.http.__aexit__(*error)

    @property
    def secret(self):
        return self.http.cookies.get("hourglass")

    async def begin(self, **query):
        """Set out for GitHub, and return the address there."""
        answer = await self.http.get("/v1/auth/github", params=query)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    async def allow(self, url, login, **more):
        """Say at GitHub who one is, and return the address that it sends the browser to."""
        async with httpx.AsyncClient(verify=False) as elsewhere:
            assert (await elsewhere.get(url)).status_code == 200
            wish = dict(parse_qsl(urlsplit(url).query))
            answer = await elsewhere.post(url.partition("?")[0], data={**wish, "login": login, **more})
        assert answer.status_code == 302
        return answer.headers["location"]

    async def sign_in(self, login, **query):
        """Go all the way, and return the last answer."""
        return await self.http.get(await self.allow(await self.begin(**query), login))

    async def session(self):
        answer = await self.http.get("/v1/session")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def change(self, method, path, *, token=None, **more):
        """Ask for a change as our own pages do."""
        token = token or (await self.session())["csrf_token"]
        headers = {"X-CSRF-Token": token, "Origin": self.town.url}
        return await self.http.request(method, path, headers=headers, **more)


def told(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.fixture(scope="session")
def hand_clock():
    return HandClock()


@pytest.fixture(scope="session")
async def github(hand_clock):
    config = SandboxConfig(ssh_port=0, price_step_seconds=0)
    opened = await Sandbox.start(config, clock=hand_clock)
    yield opened
    await opened.aclose()


@pytest.fixture(scope="session")
def found_town(databases, github, hand_clock):
    """Serve the API: ``async with found_town() as town``, with what differs from the usual."""

    @asynccontextmanager
    async def founding(*, client_secret="sandbox-github-secret", open_wallet=open_wallet, limiter=None, scheme="http"):
        with socket.socket(proto=socket.IPPROTO_TCP) as listening:
            listening.bind(("127.0.0.1", 0))
            url = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
            tokens = Tokens(PEPPER)
            sessions = Sessions(databases.auth, tokens, Site.at(url))
            way = Github(
                client_id="sandbox-github", client_secret=client_secret, url=github.url, api_url=github.url,
                callback_url=f"{url}{CALLBACK}",
            )  # fmt: skip
            sign_in = SignIn(
                way, sessions, tokens, db=databases.api, auth_db=databases.auth, open_wallet=open_wallet
            )  # fmt: skip
            state = State(databases.api, Authenticator(databases.auth, PEPPER), sessions, sign_in, hand_clock)
            if limiter is not None:
                state.limiter = limiter
            async with _served(_app(state), listening):
                yield Town(url, state, github, databases, tokens)

    return founding


@pytest.fixture(scope="session")
async def shared_town(found_town):
    async with found_town() as town:
        yield town


@pytest.fixture
def town(shared_town):
    """The API as it usually is."""
    yield shared_town
    shared_town.sandbox.faults.clear()


@pytest.fixture
async def browser(town):
    async with town.browser() as opened:
        yield opened


@pytest.fixture
async def signed_in(town, browser):
    """A browser in which somebody has just signed in."""
    browser.person = town.newcomer()
    answer = await browser.sign_in(browser.person.login)
    assert answer.status_code == 303, answer.text
    return browser


def _app(state):
    return new_app(state, endpoints.router, session_endpoints.router, *ROUTERS)


@asynccontextmanager
async def _served(app, listening):
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
        await asyncio.sleep(0.01)
    yield
    server.should_exit = True
    await running
