from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import Depends

from app.kit.ids import AccountId, SessionId, UserId
from app.web import Limiter, Principal, SignedIn, Site, new_router, visiting_person
from app.web.admitting import address_of
from app.web.errors import Unauthorized
from tests.applications import new_app

from .conftest import Thing, router

MOMENT = datetime(2030, 1, 1, tzinfo=UTC)
people = new_router("/v1", tag="people")


@people.get("/who", response_model=Thing)
async def who(person: SignedIn = Depends(visiting_person())):  # noqa: B008 - FastAPI's way
    return Thing(name=person.name)


def signed_in(**changes):
    account_id, person_id = AccountId.new(), UserId.new()
    scopes = frozenset({"rentals:read", "rentals:write"})
    principal = Principal(account_id, None, person_id, scopes, True, "Ada", role="member")
    person = SignedIn(SessionId.new(), person_id, "Ada", (), account_id, principal, False, MOMENT, "token")
    return replace(person, **changes)


@dataclass
class People:
    """Sessions known by heart."""

    site: Site = field(default_factory=lambda: Site.at("http://test"))
    known: dict = field(default_factory=dict)
    successor: str | None = None
    kept: list = field(default_factory=list)

    async def recognise(self, secret, *, at):
        if secret not in self.known:
            raise Unauthorized
        return self.known[secret]

    async def keep(self, secret, *, at):
        self.kept.append(secret)
        return self.successor


@pytest.fixture
def sessions(state):
    state.sessions = People(known={"mine": signed_in()})
    return state.sessions


@pytest.fixture
async def browser(state, sessions):
    app = new_app(state, router, people)
    opened = httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test", headers={"Cookie": "hourglass=mine"}
    )
    async with opened as client:
        yield client


OWN_PAGE = {"X-CSRF-Token": "token", "Origin": "http://test"}


async def test_a_cookie_opens_what_the_persons_role_may_do(browser, sessions):
    assert (await browser.get("/v1/things/x")).status_code == 200
    assert (await browser.put("/v1/plain", json={"name": "x"}, headers=OWN_PAGE)).status_code == 200
    sessions.known["mine"] = signed_in(principal=replace(signed_in().principal, scopes=frozenset({"catalog:read"})))
    told = await browser.get("/v1/things/x")
    assert (told.status_code, told.json()["code"]) == (403, "scope_missing")


async def test_a_change_without_the_pages_token_is_refused_and_nothing_else_is_touched(browser, sessions):
    told = await browser.put("/v1/plain", json={"name": "x"}, headers={"Origin": "http://test"})
    assert (told.status_code, told.json()["code"]) == (403, "csrf_failed")
    assert sessions.kept == []


@pytest.mark.parametrize("cookie", ["", "hourglass=", "hourglass=other", "hourglass=mine; hourglass=mine", "x=mine"])
async def test_another_cookie_opens_nothing(browser, cookie):
    told = await browser.get("/v1/things/x", headers={"Cookie": cookie})
    assert (told.status_code, told.json()["code"]) == (401, "unauthorized")


async def test_a_key_counts_before_a_cookie_and_needs_no_token(browser, state, sessions):
    state.caller("a key", scopes=["rentals:read"])
    told = await browser.put("/v1/plain", json={"name": "x"}, headers={"Authorization": "Bearer a key"})
    assert told.status_code == 200
    assert sessions.kept == []


@pytest.mark.parametrize("authorization", ["Bearer wrong", "Basic mine", "", "mine"])
async def test_a_key_that_does_not_open_is_not_made_good_by_a_cookie(browser, authorization):
    for path in ("/v1/things/x", "/v1/who"):
        told = await browser.get(path, headers={"Authorization": authorization})
        assert told.status_code == 401


async def test_a_cookie_that_does_not_open_is_not_made_good_by_anything(browser, state):
    state.caller("mine", scopes=["rentals:read"])
    assert (await browser.get("/v1/things/x", headers={"Cookie": "hourglass=unknown"})).status_code == 401


async def test_a_due_secret_is_changed_whatever_the_answer_says(browser, sessions):
    sessions.successor = "next"
    for path in ("/v1/things/x", "/v1/things/broken", "/v1/who"):
        told = await browser.get(path)
        assert told.headers.get_list("set-cookie") == [
            "hourglass=next; Path=/; Max-Age=1209600; HttpOnly; SameSite=Lax"
        ]


async def test_who_left_the_account_or_whose_account_is_suspended_is_told_so_and_is_still_a_person(browser, sessions):
    for changes, code in (({"principal": None}, "membership_ended"), ({"suspended": True}, "account_suspended")):
        sessions.known["mine"] = signed_in(**changes)
        told = await browser.get("/v1/things/x")
        assert (told.status_code, told.json()["code"]) == (403, code)
        assert (await browser.get("/v1/who")).json()["name"] == "Ada"


async def test_a_key_is_no_person(browser, state):
    state.caller("a key", scopes=["admin"])
    told = await browser.get("/v1/who", headers={"Authorization": "Bearer a key"})
    assert (told.status_code, told.json()["code"]) == (403, "sign_in_needed")


async def test_where_nobody_can_sign_in_a_cookie_is_nothing(browser, state):
    state.sessions = None
    assert (await browser.get("/v1/things/x")).status_code == 401


async def test_cookies_that_keep_failing_are_not_looked_up_any_more(browser, state):
    state.limiter = Limiter(failures_per_address=3)
    told = [await browser.get("/v1/things/x", headers={"Cookie": f"hourglass={n}"}) for n in range(5)]
    assert [one.status_code for one in told] == [401, 401, 401, 429, 429]


async def test_a_person_is_limited_like_a_key(browser, state):
    state.limiter = Limiter(per_key=2)
    told = [await browser.get(path) for path in ("/v1/things/x", "/v1/who", "/v1/things/x")]
    assert [one.status_code for one in told] == [200, 200, 429]


@pytest.mark.parametrize(("url", "told"), [("https://test", "max-age=31536000"), ("http://test", None)])
async def test_browsers_of_an_https_service_are_told_to_come_by_nothing_else(state, url, told):
    state.sessions = People(site=Site.at(url))
    app = new_app(state)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=url) as client:
        assert (await client.get("/v1/nothing")).headers.get("strict-transport-security") == told


@pytest.mark.parametrize(
    ("client", "told"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8::7", 1), "2001:db8::7"),
        (("::1", 1), "::1"),
        (None, None),
    ],
)
def test_an_address_is_the_same_on_whatever_socket_it_comes(client, told):
    assert address_of({"client": client}) == told
