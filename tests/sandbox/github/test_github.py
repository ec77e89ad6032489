"""GitHub's wire, asked by plain HTTP and by authlib's own client."""

from __future__ import annotations

import warnings
from dataclasses import replace
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from authlib.common.security import generate_token
from authlib.deprecate import AuthlibDeprecationWarning

from app.sandbox import Fault, Sandbox
from tests.sandbox.conftest import QUICK, HandClock

with warnings.catch_warnings():
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.integrations.base_client import OAuthError
    from authlib.integrations.httpx_client import AsyncOAuth2Client

CALLBACK = "http://127.0.0.1:8000/v1/auth/github/callback"
APP = {"client_id": "sandbox-github", "client_secret": "sandbox-github-secret"}


@pytest.fixture(scope="module")
def clock():
    return HandClock()


@pytest.fixture(scope="module")
async def sandbox(clock):
    opened = await Sandbox.start(QUICK, clock=clock)
    yield opened
    await opened.aclose()


@pytest.fixture(autouse=True)
def as_before(sandbox):
    before = dict(sandbox.github.people)
    yield
    sandbox.github.people = before
    sandbox.faults.clear()


@pytest.fixture
async def http(sandbox):
    async with httpx.AsyncClient(base_url=sandbox.url, verify=False) as client:
        yield client


@pytest.fixture
async def oauth(sandbox):
    client = AsyncOAuth2Client(
        **APP, scope="user:email", redirect_uri=CALLBACK, code_challenge_method="S256",
        token_endpoint_auth_method="client_secret_post",
        verify=False,
    )  # fmt: skip
    async with client:
        yield client


async def allow(http, url, *, login="demo-owner", **more):
    """Open the page, choose somebody, and return where the browser is sent."""
    page = await http.get(url)
    assert page.status_code == 200, page.text
    wish = dict(parse_qsl(urlsplit(str(url)).query))
    answer = await http.post("/login/oauth/authorize", data={**wish, "login": login, **more})
    assert answer.status_code == 302
    return answer.headers["location"]


def told(location):
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def sent_back(http, oauth, sandbox, *, verifier=None, **more):
    url, state = oauth.create_authorization_url(f"{sandbox.url}/login/oauth/authorize", code_verifier=verifier)
    location = await allow(http, url, **more)
    assert location.startswith(CALLBACK)
    assert told(location)["state"] == state
    return location


async def fetch(oauth, sandbox, location, **more):
    more.setdefault("headers", {"Accept": "application/json"})
    url = f"{sandbox.url}/login/oauth/access_token"
    return await oauth.fetch_token(url, code=told(location)["code"], redirect_uri=CALLBACK, **more)


async def test_authlibs_client_goes_all_the_way_with_pkce(http, oauth, sandbox):
    verifier = generate_token(48)
    location = await sent_back(http, oauth, sandbox, verifier=verifier)
    token = await fetch(oauth, sandbox, location, code_verifier=verifier)
    assert (token["token_type"], token["scope"]) == ("bearer", "user:email")
    assert token["access_token"].startswith("gho_")
    user = (await oauth.get(f"{sandbox.url}/user")).json()
    assert (user["id"], user["login"], user["name"], user["type"]) == (9000001, "demo-owner", "Demo Owner", "User")
    emails = (await oauth.get(f"{sandbox.url}/user/emails")).json()
    assert emails == [{"email": "owner@demo.example", "primary": True, "verified": True, "visibility": "private"}]


@pytest.mark.parametrize("verifier", [None, "", "x" * 48])
async def test_a_code_is_nothing_without_its_verifier_and_is_gone_after_a_wrong_one(http, oauth, sandbox, verifier):
    location = await sent_back(http, oauth, sandbox, verifier="v" * 48)
    for given in (verifier, "v" * 48):
        with pytest.raises(OAuthError, match="bad_verification_code"):
            await fetch(oauth, sandbox, location, **({} if given is None else {"code_verifier": given}))


async def test_a_code_is_good_once(http, oauth, sandbox):
    location = await sent_back(http, oauth, sandbox)
    await fetch(oauth, sandbox, location)
    with pytest.raises(OAuthError, match="bad_verification_code"):
        await fetch(oauth, sandbox, location)


@pytest.mark.parametrize(("seconds", "good"), [(599, True), (600, False)])
async def test_a_code_is_good_for_ten_minutes(http, oauth, sandbox, clock, seconds, good):
    location = await sent_back(http, oauth, sandbox)
    await clock.advance(seconds)
    if good:
        assert await fetch(oauth, sandbox, location)
    else:
        with pytest.raises(OAuthError, match="bad_verification_code"):
            await fetch(oauth, sandbox, location)


async def test_a_code_is_good_for_the_address_it_was_asked_for_with(http, oauth, sandbox):
    location = await sent_back(http, oauth, sandbox)
    other = {**APP, "code": told(location)["code"], "redirect_uri": CALLBACK + "/other"}
    answer = await http.post("/login/oauth/access_token", data=other, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (200, "redirect_uri_mismatch")


@pytest.mark.parametrize("wrong", [{"client_secret": "other"}, {"client_id": "other"}, {"client_secret": ""}])
async def test_only_the_app_itself_gets_a_token(http, oauth, sandbox, wrong):
    location = await sent_back(http, oauth, sandbox)
    form = {**APP, **wrong, "code": told(location)["code"]}
    answer = await http.post("/login/oauth/access_token", data=form, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (200, "incorrect_client_credentials")
    assert answer.json()["error_description"]
    assert answer.json()["error_uri"]


async def test_an_answer_comes_in_the_form_that_is_asked_for(http, oauth, sandbox):
    shapes = {}
    for accept in ("*/*", "application/json", "application/xml"):
        location = await sent_back(http, oauth, sandbox)
        form = {**APP, "code": told(location)["code"]}
        answer = await http.post("/login/oauth/access_token", data=form, headers={"Accept": accept})
        shapes[answer.headers["content-type"].partition(";")[0]] = answer.text
    assert parse_qs(shapes["application/x-www-form-urlencoded"])["token_type"] == ["bearer"]
    assert shapes["application/json"].startswith("{")
    assert shapes["application/xml"].startswith("<OAuth><access_token>gho_")


async def test_who_says_no_is_sent_back_without_a_code(http, oauth, sandbox):
    location = await sent_back(http, oauth, sandbox, answer="cancel")
    assert told(location)["error"] == "access_denied"
    assert "code" not in told(location)


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://evil.example/v1/auth/github/callback",
        "https://127.0.0.1/v1/auth/github/callback",
        "http://127.0.0.1/v1/auth/other",
        "http://127.0.0.1/v1/auth/github/callback-other",
        "http://127.0.0.1/v1/auth/github/callback/../other",
        "http://127.0.0.1.evil.example/v1/auth/github/callback",
    ],
)
async def test_an_address_that_is_not_registered_is_never_visited(http, sandbox, redirect_uri):
    query = {"client_id": APP["client_id"], "redirect_uri": redirect_uri, "state": "s"}
    for answer in (
        await http.get("/login/oauth/authorize", params=query),
        await http.post("/login/oauth/authorize", data={**query, "login": "demo-owner"}),
    ):
        assert answer.status_code == 302
        assert answer.headers["location"].startswith(sandbox.config.github_callback_url + "?")
        assert told(answer.headers["location"])["error"] == "redirect_uri_mismatch"


async def test_an_app_that_is_not_registered_has_no_page(http):
    assert (await http.get("/login/oauth/authorize?client_id=other")).status_code == 404


async def test_only_s256_is_taken_for_a_challenge(http):
    query = {"client_id": APP["client_id"], "redirect_uri": CALLBACK, "code_challenge": "c"}
    for method in ({"code_challenge_method": "plain"}, {}):
        answer = await http.get("/login/oauth/authorize", params=query | method)
        assert told(answer.headers["location"])["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("authorization", "message"),
    [(None, "Requires authentication"), ("Bearer gho_other", "Bad credentials"), ("Basic x", "Bad credentials")],
)
async def test_without_a_token_nobody_is_told_of(http, authorization, message):
    for path in ("/user", "/user/emails"):
        answer = await http.get(path, headers={"Authorization": authorization} if authorization else {})
        assert (answer.status_code, answer.json()["message"]) == (401, message)
        assert answer.json()["status"] == "401"


async def test_a_program_without_a_name_is_refused(http):
    assert (await http.get("/user", headers={"User-Agent": ""})).status_code == 403


async def test_addresses_are_told_only_to_whom_that_was_allowed(http, oauth, sandbox):
    oauth.scope = ""
    location = await sent_back(http, oauth, sandbox)
    await fetch(oauth, sandbox, location)
    assert (await oauth.get(f"{sandbox.url}/user")).status_code == 200
    assert (await oauth.get(f"{sandbox.url}/user/emails")).status_code == 404


async def test_a_person_keeps_its_id_whatever_it_is_called(http, oauth, sandbox):
    people = sandbox.github.people
    people[9000001] = replace(people[9000001], login="renamed")
    people[9000002] = replace(people[9000002], login="demo-owner")
    found = {}
    for login in ("renamed", "demo-owner"):
        await fetch(oauth, sandbox, await sent_back(http, oauth, sandbox, login=login))
        found[login] = (await oauth.get(f"{sandbox.url}/user")).json()["id"]
    assert found == {"renamed": 9000001, "demo-owner": 9000002}


async def test_faults_strike_as_with_the_clouds(http, sandbox):
    for kind, status in (("rate_limited", 429), ("server_error", 500), ("unauthorized", 401), ("no_credit", 403)):
        sandbox.faults.add(Fault(kind, operation="github.user"))
        assert (await http.get("/user")).status_code == status
    sandbox.faults.add(Fault("server_error", operation="github.token", status=502))
    assert (await http.post("/login/oauth/access_token")).status_code == 502
    sandbox.faults.add(Fault("timeout_after_success", operation="github.token", mode="drop"))
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/login/oauth/access_token")
    assert [call.operation for call in sandbox.calls][-2:] == ["token", "token"]
