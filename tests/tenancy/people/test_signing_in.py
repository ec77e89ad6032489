from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.kit.db import driver
from app.kit.ids import UserId
from app.sandbox import Fault
from app.sandbox.people import GithubEmail
from app.tenancy.people.signing_in import local_path
from app.web import Limiter
from app.web.errors import ValidationFailed

from .conftest import MANY, told


async def accounts_of(town, github_id):
    return await town.rows(
        "SELECT p.id, p.personal_account_id, u.email, u.name, u.role, a.kind FROM people p JOIN users u ON u.id = p.id "
        "JOIN accounts a ON a.account_id = u.account_id WHERE p.github_id = $1",
        github_id,
    )


async def test_the_first_sign_in_opens_an_account_of_ones_own_with_a_wallet(town, browser):
    person = town.newcomer(name="Ada Example")
    answer = await browser.sign_in(person.login, return_to="/console?tab=1#top")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console?tab=1#top")
    session = await browser.session()
    assert session["person"]["name"] == "Ada Example"
    assert session["person"]["emails"] == [f"{person.login}@example.com"]
    assert (session["role"], session["team_ids"]) == ("owner", None)
    assert "admin" in session["scopes"]
    account = await browser.http.get("/v1/account")
    assert (account.status_code, account.json()["id"], account.json()["kind"]) == (
        200,
        session["account_id"],
        "personal",
    )
    [row] = await accounts_of(town, person.id)
    assert (row["id"], row["personal_account_id"]) == (session["person"]["id"], session["account_id"])
    assert (row["email"], row["name"], row["role"]) == (f"{person.login}@example.com", "Ada Example", "owner")
    async with town.databases.api.begin(row["personal_account_id"]) as opened:
        wallet = await driver(opened).fetchrow("SELECT available, reserved, owed FROM wallets")
    assert tuple(wallet) == (0, 0, 0)


async def test_the_sessions_cookie_can_not_be_read_by_scripts_and_is_not_sent_from_elsewhere(town, browser):
    answer = await browser.sign_in(town.newcomer().login)
    session, gone = answer.headers.get_list("set-cookie")
    assert session.startswith("hourglass=")
    assert set(session.split("; ")[1:]) == {"Path=/", "Max-Age=1209600", "HttpOnly", "SameSite=Lax"}
    assert gone == "hourglass-sign-in=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")


async def test_who_signs_in_again_is_the_same_person(town, signed_in):
    first = await signed_in.session()
    async with town.browser() as other:
        await other.sign_in(signed_in.person.login)
        second = await other.session()
    assert second["person"] == first["person"]
    assert second["account_id"] == first["account_id"]
    assert second["id"] != first["id"]


async def test_two_first_sign_ins_at_once_open_one_account(town):
    person = town.newcomer()
    async with town.browser() as one, town.browser() as other:
        answers = await asyncio.gather(*(browser.sign_in(person.login) for browser in (one, other)))
        assert [answer.status_code for answer in answers] == [303, 303]
        seen = [await browser.session() for browser in (one, other)]
    assert seen[0]["person"]["id"] == seen[1]["person"]["id"]
    assert len(await accounts_of(town, person.id)) == 1


async def test_a_sign_in_that_broke_off_before_the_account_was_there_is_made_good_by_the_next(found_town):
    async def broken(session, *, account_id, at):
        raise RuntimeError

    async with found_town(open_wallet=broken) as town, town.browser() as browser:
        person = town.newcomer()
        answer = await browser.sign_in(person.login)
        assert answer.status_code == 500
        assert browser.secret is None
        assert await accounts_of(town, person.id) == []
    async with found_town() as town, town.browser() as browser:
        assert (await browser.sign_in(person.login)).status_code == 303
        assert len(await accounts_of(town, person.id)) == 1


async def test_a_person_is_its_number_whatever_its_login_becomes_and_whoever_takes_it(town, signed_in):
    old, people = signed_in.person, town.sandbox.github.people
    people[old.id] = replace(old, login=f"{old.login}-new", name="New Name", emails=(GithubEmail("new@example.com"),))
    heir = town.newcomer(login=old.login)
    before = await signed_in.session()
    async with town.browser() as renamed, town.browser() as other:
        await renamed.sign_in(f"{old.login}-new")
        await other.sign_in(old.login)
        after, heirs = await renamed.session(), await other.session()
    assert after["person"]["id"] == before["person"]["id"]
    assert after["account_id"] == before["account_id"]
    assert heirs["person"]["id"] != before["person"]["id"]
    assert heirs["account_id"] != before["account_id"]
    [row] = await accounts_of(town, old.id)
    assert (row["email"], row["name"]) == ("new@example.com", "New Name")
    assert len(await accounts_of(town, heir.id)) == 1


async def test_a_new_address_that_somebody_else_of_an_account_has_is_not_taken_there(town, signed_in):
    person_id = (await signed_in.session())["person"]["id"]
    account_id = await town.organisation(person_id)
    await town.execute(
        account_id,
        "UPDATE users SET email = 'taken@example.com' WHERE account_id = $1 AND id <> $2",
        account_id,
        person_id,
    )
    town.newcomer(id=signed_in.person.id, login=signed_in.person.login, emails=(GithubEmail("taken@example.com"),))
    assert (await signed_in.sign_in(signed_in.person.login)).status_code == 303
    rows = await town.rows("SELECT account_id, email FROM users WHERE id = $1", person_id)
    assert {row["account_id"]: row["email"] == "taken@example.com" for row in rows}[account_id] is False
    assert sum(row["email"] == "taken@example.com" for row in rows) == 1


@pytest.mark.parametrize(
    "emails",
    [(), (GithubEmail("a@example.com", verified=False),), (GithubEmail("no-address", verified=True),)],
)
async def test_without_a_verified_address_nobody_signs_in_and_nobody_is_known(town, browser, emails):
    person = town.newcomer(emails=emails)
    answer = await browser.sign_in(person.login)
    assert (answer.status_code, answer.json()["code"]) == (403, "email_unverified")
    assert browser.secret is None
    assert await town.rows("SELECT 1 FROM people WHERE github_id = $1", person.id) == []


async def test_who_does_not_let_its_addresses_be_read_is_nobody(town, browser):
    back = await browser.allow(await browser.begin(), town.newcomer().login, scope="read:org")
    answer = await browser.http.get(back)
    assert (answer.status_code, answer.json()["code"]) == (403, "email_unverified")


async def test_only_verified_addresses_count_and_the_primary_one_comes_first(town, browser):
    emails = (
        GithubEmail("other@example.com", primary=False),
        GithubEmail("false@example.com", primary=False, verified=False),
        GithubEmail("first@example.com"),
    )
    await browser.sign_in(town.newcomer(emails=emails).login)
    assert (await browser.session())["person"]["emails"] == ["first@example.com", "other@example.com"]


async def test_nobody_can_be_signed_in_as_somebody_else_by_an_address(town):
    """Login CSRF: the attacker's own way back, followed by another browser."""
    attacker = town.newcomer()
    async with town.browser() as theirs, town.browser() as fresh, town.browser() as busy:
        back = await theirs.allow(await theirs.begin(), attacker.login)
        await busy.begin()
        for victim in (fresh, busy):
            answer = await victim.http.get(back)
            assert (answer.status_code, answer.json()["code"]) == (400, "sign_in_failed")
            assert victim.secret is None
        assert (await theirs.http.get(back)).status_code == 303


async def test_a_way_back_can_be_gone_once(town, browser):
    back = await browser.allow(await browser.begin(), town.newcomer().login)
    kept = browser.http.cookies.get("hourglass-sign-in")
    assert (await browser.http.get(back)).status_code == 303
    secret = browser.secret
    for cookies in ({}, {"hourglass-sign-in": kept}):
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        answer = await browser.http.get(back, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "sign_in_failed")
    assert browser.secret == secret


async def test_a_code_that_was_shown_before_opens_nothing_with_a_state_of_ones_own(town, browser):
    code = told(await browser.allow(await browser.begin(), town.newcomer().login))["code"]
    async with town.browser() as attacker:
        for _ in range(2):
            state = told(await attacker.begin())["state"]
            answer = await attacker.http.get("/v1/auth/github/callback", params={"code": code, "state": state})
            assert (answer.status_code, answer.json()["code"]) == (400, "sign_in_failed")
            assert attacker.secret is None


@pytest.mark.parametrize(("seconds", "status"), [(599, 303), (600, 400)])
async def test_a_way_back_is_open_for_ten_minutes(town, browser, seconds, status):
    url = await browser.begin()
    town.clock.advance(seconds=seconds)
    back = await browser.allow(url, town.newcomer().login)
    assert (await browser.http.get(back)).status_code == status


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?code=x",
        "?state=x",
        "?code=x&state={state}&state={state}",
        "?code=x&code=y&state={state}",
        "?state={state}",
        "?code=&state={state}",
        "?code={long}&state={state}",
        "?code=x&state={state}%0d%0a",
        "?error=access_denied",
    ],
)
async def test_a_way_back_that_github_did_not_write_leads_nowhere(browser, query):
    state = told(await browser.begin())["state"]
    answer = await browser.http.get("/v1/auth/github/callback" + query.format(state=state, long="x" * 1000))
    assert (answer.status_code, answer.json()["code"]) == (400, "sign_in_failed")
    assert browser.secret is None


AWAY = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example",
    "HTTPS:evil.example",
    "javascript:alert(1)",
    "evil.example",
    "",
    "?x",
    "/a//evil.example",
    "/./x",
    "/../x",
    "/x/..",
    "/\t/evil.example",
    "/\n/evil.example",
    " /x",
    "/x y",
    "/\u2215evil.example",
    "/x?\r\nSet-Cookie: a=b",
    "/" + "x" * 1024,
]


@pytest.mark.parametrize("path", AWAY)
async def test_nobody_is_led_away_after_signing_in(browser, path):
    with pytest.raises(ValidationFailed):
        local_path(path)
    answer = await browser.http.get("/v1/auth/github", params={"return_to": path})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert "evil" not in answer.text


@pytest.mark.parametrize("path", ["/", "/a/b/", "/a?to=https://x.example//y", "/a#b", "/%2F", "/@x", "/a.b/..c"])
def test_paths_of_this_service_are_let_through(path):
    assert local_path(path) == path


@given(st.text(alphabet="/\\.:@?#%25fe\t\n\r x", max_size=12).map(lambda text: f"/{text}"))
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_whatever_is_let_through_stays_at_the_service_however_a_browser_reads_it(path):
    try:
        local_path(path)
    except ValidationFailed:
        return
    read = re.sub(r"[\t\n\r]", "", path).replace("\\", "/")
    for text in (path, read):
        assert urlsplit(urljoin("https://gpus.example/v1/auth/github/callback", text)).netloc == "gpus.example"
        assert not urlsplit(text).netloc


async def test_a_session_planted_in_a_browser_gives_nobody_the_one_that_follows(town, signed_in):
    """Fixation: the attacker knows the secret that the victim's browser has before it signs in."""
    planted, victim = signed_in.secret, town.newcomer()
    async with town.browser() as browser:
        browser.http.cookies.set("hourglass", planted, domain="127.0.0.1")
        url = await browser.begin()
        await browser.http.get(await browser.allow(url, victim.login))
        async with town.browser(Cookie=f"hourglass={planted}") as attacker:
            assert (await attacker.http.get("/v1/session")).status_code == 401
        names = [cookie.value for cookie in browser.http.cookies.jar if cookie.name == "hourglass"]
        assert planted not in names[-1:]


async def test_who_says_no_at_github_is_told_so_and_nothing_of_the_address_is_repeated(town, browser):
    back = await browser.allow(await browser.begin(), town.newcomer().login, answer="cancel")
    answer = await browser.http.get(back + "&x=canary", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert "not allowed" in answer.text
    assert "canary" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert browser.secret is None


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault("server_error", operation="github.token"), 503, "provider_unavailable"),
        (Fault("server_error", operation="github.token", status=502), 503, "provider_unavailable"),
        (Fault("malformed", operation="github.token", mode="html"), 503, "provider_unavailable"),
        (Fault("malformed", operation="github.token", mode="empty"), 503, "provider_unavailable"),
        (Fault("timeout_after_success", operation="github.token", mode="drop"), 503, "provider_unavailable"),
        (Fault("unauthorized", operation="github.user"), 503, "provider_unavailable"),
        (Fault("rate_limited", operation="github.user"), 503, "provider_unavailable"),
        (Fault("malformed", operation="github.user", mode="types"), 503, "provider_unavailable"),
        (Fault("malformed", operation="github.emails", mode="types"), 503, "provider_unavailable"),
        (Fault("malformed", operation="github.emails", mode="huge"), 503, "provider_unavailable"),
    ],
    ids=lambda value: f"{value.kind}-{value.operation}-{value.mode}" if isinstance(value, Fault) else None,
)
async def test_when_github_fails_nobody_is_signed_in_and_the_next_try_is_fine(town, browser, fault, status, code):
    person = town.newcomer()
    url = await browser.begin()
    town.sandbox.faults.add(fault)
    answer = await browser.http.get(await browser.allow(url, person.login))
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert browser.secret is None
    town.sandbox.faults.clear()
    assert (await browser.sign_in(person.login)).status_code == 303


async def test_our_own_wrong_secret_is_told_as_what_it_is(found_town):
    async with found_town(client_secret="wrong") as town, town.browser() as browser:
        answer = await browser.sign_in(town.newcomer().login)
    assert (answer.status_code, answer.json()["code"]) == (502, "provider_error")
    assert "wrong" not in answer.text


async def test_no_transaction_is_open_while_github_is_asked(town, browser):
    url = await browser.begin()
    back = await browser.allow(url, town.newcomer().login)
    town.sandbox.faults.add(Fault("slow", operation="github.user", seconds=0.5))
    coming = asyncio.create_task(browser.http.get(back))
    await asyncio.sleep(0.25)
    assert not coming.done()
    async with town.databases.worker.begin_unscoped() as session:
        waiting = await driver(session).fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%' "
            "AND pid <> pg_backend_pid()"
        )
    assert waiting == 0
    assert (await coming).status_code == 303


async def test_where_it_is_not_set_up_it_says_so(town, browser):
    sign_in, town.state.sign_in = town.state.sign_in, None
    try:
        for path in ("/v1/auth/github", "/v1/auth/github/callback"):
            answer = await browser.http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, "provider_unavailable")
    finally:
        town.state.sign_in = sign_in


async def test_guesses_at_states_and_codes_are_limited_by_address(found_town):
    limiter = Limiter(failures_per_address=5, sign_ins_per_address=MANY)
    async with found_town(limiter=limiter) as town, town.browser() as browser:
        asked = [(await browser.http.get("/v1/auth/github/callback?code=x&state=y")).status_code for _ in range(7)]
        assert asked == [400] * 5 + [429] * 2
        back = await browser.allow(await browser.begin(), town.newcomer().login)
        assert (await browser.http.get(back)).status_code == 429


async def test_sign_ins_are_begun_by_an_address_so_often_and_no_oftener(found_town):
    async with found_town(limiter=Limiter(sign_ins_per_address=3)) as town, town.browser() as browser:
        asked = [(await browser.http.get("/v1/auth/github")).status_code for _ in range(5)]
    assert asked == [303, 303, 303, 429, 429]


async def test_github_is_asked_for_no_more_than_the_address_and_always_sent_back_to_the_same_place(town, browser):
    answer = await browser.http.get(
        "/v1/auth/github", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    )
    asked = told(answer.headers["location"])
    assert asked["redirect_uri"] == f"{town.url}/v1/auth/github/callback"
    assert (asked["scope"], asked["response_type"], asked["code_challenge_method"]) == ("user:email", "code", "S256")
    assert asked["client_id"] == "sandbox-github"
    assert len(asked["state"]) == len(asked["code_challenge"]) == 43


async def test_nothing_secret_is_stored(town, browser):
    url = await browser.begin()
    asked, kept = told(url), browser.http.cookies.get("hourglass-sign-in")
    verifier = town.tokens.verifier(kept, asked["state"])
    pending = await town.rows("SELECT sign_ins::text AS row FROM sign_ins")
    await browser.http.get(await browser.allow(url, town.newcomer().login))
    stored = [row["row"] for row in pending]
    for table in ("people", "sessions", "sign_ins"):
        stored += [row["row"] for row in await town.rows(f"SELECT t::text AS row FROM {table} t")]
    for secret in (asked["state"], kept, verifier, browser.secret, "gho_"):
        assert secret
        assert not any(secret in row or secret.encode().hex() in row for row in stored)


async def test_a_sign_in_and_what_becomes_of_the_session_stand_in_the_audit(town, signed_in):
    session = await signed_in.session()
    await signed_in.change("DELETE", "/v1/session")
    async with town.databases.api.begin(session["account_id"]) as opened:
        rows = await driver(opened).fetch("SELECT action, target, user_id FROM audit_entries ORDER BY seq")
    person_id = UserId(session["person"]["id"])
    assert [tuple(row) for row in rows] == [
        ("session.begun", session["id"], person_id),
        ("session.ended", session["id"], person_id),
    ]
