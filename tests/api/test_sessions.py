"""A person who is signed in uses the whole API as a key does, and whatever it listens to ends with its right to."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from app.kit.db import driver
from app.kit.ids import UserId
from app.main import create_app
from app.tenancy.people import Sessions, Tokens
from app.tenancy.people.queries import PUT_PERSON
from app.tenancy.people.sessions import ROTATED_EVERY
from app.web import Site

from .calling import Caller
from .conftest import START, HandClock, new_world

STREAM = (b"accept", b"text/event-stream")
SECONDS_MAX = 5.0


class Pausing(HandClock):
    """Waits a little, without moving."""

    async def sleep(self, seconds):
        await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Watching(Caller):
    """A caller who stays until the answer ends."""

    stays: asyncio.Event = field(default_factory=asyncio.Event)

    async def patience(self):
        await self.stays.wait()


class Person:
    """Somebody of an account who is signed in, at an application of its own."""

    def __init__(self, app, state, db, account_id):
        self.app, self.state, self.db, self.account_id = app, state, db, account_id
        self.id = UserId.new()
        self.secret = ""
        self.signed = None

    async def sign_in(self, role):
        at = self.state.clock.now()
        known = (self.id, secrets.randbits(48), "ada", "Ada", [f"{self.id}@example.com"], self.account_id, at)
        await self.state.auth_db.fetch_once(PUT_PERSON, *known)
        await self.execute(
            "INSERT INTO users (account_id, id, email, name, role, joined_at) VALUES ($1, $2, $3, 'Ada', $4, $5)",
            *(self.account_id, self.id, f"{self.id}@example.com", role, at),
        )
        self.secret, self.signed = await self.state.sessions.begin(self.id, user_agent="", address=None, at=at)
        return self

    async def execute(self, statement, *args):
        async with self.db.begin(self.account_id) as session:
            await driver(session).execute(statement, *args)

    def caller(self):
        return Caller(self.app)

    async def ask(self, method, target, body=None, **more):
        headers = {"cookie": f"hourglass={self.secret}", "origin": self.state.sessions.site.origin}
        return await self.caller().ask(method, target, body, **headers, x_csrf_token=self.signed.csrf_token, **more)

    def listen(self, target):
        watching = Watching(self.app)
        cookie = (b"cookie", f"hourglass={self.secret}".encode())
        return asyncio.create_task(watching.send("GET", target, b"", (STREAM, cookie)))


@pytest.fixture
async def person(world, tenant):
    """A member of an account that has a running rental."""
    made = new_world(world.databases)
    sessions = Sessions(made.databases.auth, Tokens(b"pepper"), Site.at("http://test"), remembered_seconds=0.1)
    state = replace(made.state, sessions=sessions, clock=Pausing(START))
    return await Person(create_app(state), state, made.databases.api, tenant.account_id).sign_in("admin")


@pytest.fixture
async def target(world, tenant):
    rental = await tenant.caller.made("/v1/rentals", {"family": "rtx-4090"})
    await world.start(tenant, rental["id"])
    return f"/v1/rentals/{rental['id']}/events"


async def lasts(listening):
    await asyncio.sleep(0.4)
    assert not listening.done()


async def ends(listening):
    async with asyncio.timeout(SECONDS_MAX):
        answer = await listening
    assert answer.status == 200
    assert "event: rental.running" in answer.text


async def test_a_person_rents_and_stops_like_a_key(person):
    made = await person.ask("POST", "/v1/rentals", {"family": "rtx-4090"})
    assert made.status == 202, made.text
    assert (await person.ask("DELETE", f"/v1/rentals/{made.json()['id']}")).status == 200
    events = (await person.ask("GET", f"/v1/rentals/{made.json()['id']}/events")).json()["data"]
    assert person.id in {event["actor"] for event in events}


async def test_without_the_pages_token_nothing_is_rented(person):
    answer = await person.caller().ask(
        "POST", "/v1/rentals", {"family": "rtx-4090"}, cookie=f"hourglass={person.secret}", origin="http://test"
    )
    assert (answer.status, answer.json()["code"]) == (403, "csrf_failed")


FORGED = [
    {},
    {"x_csrf_token": "x" * 43, "origin": "http://test"},
    {"x_csrf_token": "own", "origin": "https://evil.example"},
    {"x_csrf_token": "own", "sec_fetch_site": "cross-site"},
]


@pytest.mark.parametrize("headers", FORGED, ids=lambda headers: "-".join(headers) or "nothing")
async def test_no_operation_that_changes_something_is_done_for_another_page(world, person, headers):
    sent = {name: person.signed.csrf_token if value == "own" else value for name, value in headers.items()}
    asked = [one for one in world.operations if one.secured and one.method != "GET"]
    assert len(asked) > 30
    for operation in asked:
        answer = await person.caller().ask(
            operation.method, operation.at(), operation.example, cookie=f"hourglass={person.secret}", **sent
        )
        assert (answer.status, answer.json()["code"]) == (403, "csrf_failed"), operation.id
        assert operation.documents(403)


async def test_a_stream_ends_when_its_session_is_ended_elsewhere(person, target):
    listening = person.listen(target)
    await lasts(listening)
    elsewhere = Sessions(person.state.auth_db, Tokens(b"pepper"), Site.at("http://test"))
    await elsewhere.end(person.signed.session_id, person.id, at=START)
    await ends(listening)


async def test_a_stream_ends_when_its_person_is_removed(person, target):
    listening = person.listen(target)
    await lasts(listening)
    await person.execute("UPDATE users SET removed_at = $2 WHERE id = $1", person.id, START)
    await ends(listening)


async def test_a_stream_ends_when_its_session_expires_and_is_no_use_of_it(person, target):
    listening = person.listen(target)
    await lasts(listening)
    person.state.clock.at += timedelta(hours=11, minutes=59)
    await lasts(listening)
    person.state.clock.at += timedelta(minutes=1)
    await ends(listening)


async def test_a_stream_that_began_with_a_change_of_the_secret_goes_on(person, target):
    person.state.clock.at += ROTATED_EVERY
    listening = person.listen(target)
    await lasts(listening)
    person.state.clock.at += timedelta(minutes=5)
    await lasts(listening)
    await person.state.sessions.end(person.signed.session_id, person.id, at=person.state.clock.at)
    await ends(listening)


async def test_a_stream_ends_when_another_account_is_chosen(world, person, target):
    listening = person.listen(target)
    await lasts(listening)
    other = await world.open()
    async with world.databases.api.begin(other.account_id) as session:
        await driver(session).execute(
            "INSERT INTO users (account_id, id, email, name, role, joined_at) VALUES ($1, $2, $2, 'Ada', 'owner', $3)",
            *(other.account_id, person.id, START),
        )
    await person.state.sessions.choose(person.secret, other.account_id, at=START)
    await ends(listening)
