from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from app.kit.db import driver
from app.kit.errors import NotFound
from app.kit.ids import AccountId, SessionId, TeamId, UserId
from app.tenancy.people import Sessions, queries
from app.tenancy.people.errors import SessionChanged
from app.tenancy.people.sessions import REMEMBERED_SECONDS
from app.web.errors import Unauthorized


class Counting:
    """A database that counts what it is asked, and can be made to answer late."""

    def __init__(self, db):
        self.db = db
        self.asked = 0
        self.gate = None

    async def fetch_once(self, *args):
        self.asked += 1
        rows = await self.db.fetch_once(*args)
        if self.gate is not None:
            await self.gate.wait()
        return rows


def with_cookie(secret):
    return {"Cookie": f"hourglass={secret}"}


async def status_of(town, secret, path="/v1/session"):
    async with town.browser(**with_cookie(secret)) as browser:
        return (await browser.http.get(path)).status_code


# Rotation


async def test_the_secret_changes_every_hour_and_the_one_before_opens_for_thirty_seconds_more(town, signed_in):
    old = signed_in.secret
    town.clock.advance(minutes=59)
    await signed_in.session()
    assert signed_in.secret == old
    town.clock.advance(minutes=1)
    await signed_in.session()
    assert (new := signed_in.secret) != old
    town.clock.advance(seconds=29)
    async with town.browser(**with_cookie(old)) as late:
        answer = await late.http.get("/v1/account")
    assert answer.status_code == 200
    assert answer.headers["set-cookie"].startswith(f"hourglass={new};")
    town.clock.advance(seconds=1)
    assert [await status_of(town, secret) for secret in (old, new)] == [401, 200]


async def test_many_requests_at_the_hour_are_all_given_the_same_secret(town, signed_in):
    old = signed_in.secret
    town.clock.advance(hours=1)
    async with town.browser(**with_cookie(old)) as tabs:
        answers = await asyncio.gather(*(tabs.http.get("/v1/session") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    [given] = {answer.headers["set-cookie"] for answer in answers}
    assert len({answer.json()["csrf_token"] for answer in answers}) == 1
    following = given.removeprefix("hourglass=").partition(";")[0]
    assert await status_of(town, following) == 200


async def test_the_pages_token_outlives_the_secret(town, signed_in):
    token = (await signed_in.session())["csrf_token"]
    town.clock.advance(hours=1)
    assert (await signed_in.change("DELETE", "/v1/sessions", token=token)).status_code == 204


# Expiry


async def test_a_session_that_nobody_uses_ends_after_twelve_hours(town, signed_in):
    for hours in (11, 11, 11):
        town.clock.advance(hours=hours)
        await signed_in.session()
    town.clock.advance(hours=12)
    answer = await signed_in.http.get("/v1/session")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_a_session_that_is_used_all_the_time_ends_after_fourteen_days(town, signed_in):
    ends_at = (await signed_in.session())["ends_at"]
    for _ in range(28):
        town.clock.advance(hours=11, minutes=59)
        assert (await signed_in.session())["ends_at"] == ends_at
    town.clock.advance(minutes=28)
    assert (await signed_in.http.get("/v1/session")).status_code == 401


async def test_an_expired_session_is_neither_listed_nor_ended(town, signed_in):
    town.clock.advance(hours=1)
    async with town.browser() as other:
        await other.sign_in(signed_in.person.login)
        first = (await signed_in.session())["id"]
        town.clock.advance(hours=11, minutes=30)
        await other.session()
        town.clock.advance(minutes=30)
        listed = (await other.http.get("/v1/sessions")).json()["data"]
        assert [one["id"] for one in listed] == [(await other.session())["id"]]
        assert (await other.change("DELETE", f"/v1/sessions/{first}")).status_code == 404


# Ends


async def test_who_signs_out_has_no_cookie_and_the_secret_opens_nothing(town, signed_in):
    secret = signed_in.secret
    answer = await signed_in.change("DELETE", "/v1/session")
    assert answer.status_code == 204
    assert answer.headers.get_list("set-cookie") == ["hourglass=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"]
    assert signed_in.secret is None
    assert await status_of(town, secret) == 401


async def test_signing_out_at_the_hour_leaves_no_secret_behind(town, signed_in):
    token = (await signed_in.session())["csrf_token"]
    town.clock.advance(hours=1)
    answer = await signed_in.change("DELETE", "/v1/session", token=token)
    assert answer.headers.get_list("set-cookie") == ["hourglass=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"]


async def test_a_person_sees_its_browsers_and_ends_one_or_all_the_others(town, signed_in):
    async with (
        town.browser(**{"User-Agent": "pho\tne"}) as phone,
        town.browser(**{"User-Agent": "x" * 500}) as tablet,
    ):
        for browser in (phone, tablet):
            town.clock.advance(seconds=1)
            await browser.sign_in(signed_in.person.login)
        listed = (await signed_in.http.get("/v1/sessions")).json()["data"]
        assert [one["user_agent"] for one in listed[:2]] == ["x" * 200, "phone"]
        assert [one["current"] for one in listed] == [False, False, True]
        assert {one["address"] for one in listed} == {"127.0.0.1"}
        assert (await signed_in.change("DELETE", f"/v1/sessions/{listed[1]['id']}")).status_code == 204
        assert [(await one.http.get("/v1/session")).status_code for one in (phone, tablet, signed_in)] == [
            401,
            200,
            200,
        ]
        assert (await signed_in.change("DELETE", "/v1/sessions")).status_code == 204
        assert [(await one.http.get("/v1/session")).status_code for one in (tablet, signed_in)] == [401, 200]
    assert len((await signed_in.http.get("/v1/sessions")).json()["data"]) == 1


async def test_the_list_of_sessions_is_paged_and_its_cursors_are_the_persons_own(town, signed_in):
    person_id = UserId((await signed_in.session())["person"]["id"])
    for _ in range(4):
        town.clock.advance(seconds=1)
        await town.state.sessions.begin(person_id, user_agent="", address=None, at=town.clock.at)
    first = (await signed_in.http.get("/v1/sessions?limit=2")).json()
    second = (await signed_in.http.get(f"/v1/sessions?limit=2&cursor={first['next_cursor']}")).json()
    third = (await signed_in.http.get(f"/v1/sessions?limit=2&cursor={second['next_cursor']}")).json()
    ids = [one["id"] for page in (first, second, third) for one in page["data"]]
    assert (len(ids), ids) == (5, sorted(ids, reverse=True))
    assert [page["has_more"] for page in (first, second, third)] == [True, True, False]
    async with town.browser() as other:
        await other.sign_in(town.newcomer().login)
        answer = await other.http.get(f"/v1/sessions?limit=2&cursor={first['next_cursor']}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_a_session_of_somebody_else_is_answered_as_one_that_there_is_not(town, signed_in):
    async with town.browser() as other:
        await other.sign_in(town.newcomer().login)
        foreign = (await other.session())["id"]
        told = []
        for session_id in (foreign, SessionId.new(), "nothing", foreign.lower()):
            answer = await signed_in.change("DELETE", f"/v1/sessions/{session_id}")
            told.append((answer.status_code, answer.json()["detail"]))
        assert set(told) == {(404, "There is no such session.")}
        await other.session()


@pytest.fixture
def elsewhere(town):
    """Another process, whose two seconds are shorter."""
    return Sessions(town.databases.auth, town.tokens, town.state.sessions.site, remembered_seconds=0.1)


async def test_an_ended_session_opens_nothing_at_once_here_and_within_two_seconds_elsewhere(town, signed_in, elsewhere):
    assert REMEMBERED_SECONDS == 2.0
    secret, at = signed_in.secret, town.clock.at
    await elsewhere.recognise(secret, at=at)
    await signed_in.change("DELETE", "/v1/session")
    assert await status_of(town, secret) == 401
    await asyncio.sleep(0.1)
    with pytest.raises(Unauthorized):
        await elsewhere.recognise(secret, at=at)


# Remembering


async def test_a_remembered_session_asks_the_database_once(town, signed_in):
    counting = Counting(town.databases.auth)
    sessions = Sessions(counting, town.tokens, town.state.sessions.site)
    for _ in range(5):
        await sessions.recognise(signed_in.secret, at=town.clock.at)
        assert await sessions.keep(signed_in.secret, at=town.clock.at) is None
    assert counting.asked == 1


@pytest.mark.parametrize("secret", ["", "x", "x" * 42, "x" * 44, "é" * 43, "x" * 42 + "=", "\x00" * 43, "x" * 100_000])
async def test_noise_never_reaches_the_database(town, secret):
    counting = Counting(None)
    with pytest.raises(Unauthorized):
        await Sessions(counting, town.tokens, town.state.sessions.site).recognise(secret, at=town.clock.at)
    assert counting.asked == 0


async def test_a_look_up_that_began_before_the_end_is_not_remembered(town, signed_in):
    counting = Counting(town.databases.auth)
    sessions = Sessions(counting, town.tokens, town.state.sessions.site)
    secret, at = signed_in.secret, town.clock.at
    session = await signed_in.session()
    counting.gate = asyncio.Event()
    early = asyncio.create_task(sessions.recognise(secret, at=at))
    await asyncio.sleep(0.05)
    ending = asyncio.create_task(sessions.end(SessionId(session["id"]), UserId(session["person"]["id"]), at=at))
    await asyncio.sleep(0.05)
    counting.gate.set()
    await ending
    await asyncio.wait({early})
    with pytest.raises(Unauthorized):
        await sessions.recognise(secret, at=at)


async def test_use_is_noted_once_a_minute(town, signed_in):
    async def seen():
        session_id = (await signed_in.session())["id"]
        return (await town.rows("SELECT seen_at FROM sessions WHERE id = $1", session_id))[0]["seen_at"]

    start = town.clock.at
    town.clock.advance(seconds=59)
    assert await seen() == start
    town.clock.advance(seconds=1)
    assert await seen() == start + timedelta(minutes=1)


# Accounts


async def test_a_person_acts_in_another_of_its_accounts_with_its_role_there(town, signed_in):
    before = await signed_in.session()
    org = await town.organisation(before["person"]["id"])
    old = signed_in.secret
    accounts = (await signed_in.http.get("/v1/me/accounts")).json()["data"]
    assert {(one["account_id"], one["role"], one["current"]) for one in accounts} == {
        (before["account_id"], "owner", True),
        (org, "member", False),
    }
    answer = await signed_in.change("PUT", "/v1/session", json={"account_id": org.lower()})
    assert answer.status_code == 200
    after = answer.json()
    assert (after["account_id"], after["role"], after["id"]) == (org, "member", before["id"])
    assert "admin" not in after["scopes"]
    assert after["team_ids"] == []
    assert signed_in.secret != old
    assert (await signed_in.http.get("/v1/account")).json()["id"] == org
    assert await signed_in.session() == after


async def test_a_page_opened_for_one_account_changes_nothing_in_another(town, signed_in):
    """Two tabs: one chooses another account, the other still shows the first one."""
    before = await signed_in.session()
    org = await town.organisation(before["person"]["id"])
    await signed_in.change("PUT", "/v1/session", json={"account_id": org})
    answer = await signed_in.change("DELETE", "/v1/sessions", token=before["csrf_token"])
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    back = await signed_in.change("PUT", "/v1/session", json={"account_id": before["account_id"]})
    assert back.json()["csrf_token"] == before["csrf_token"]


async def test_an_account_of_others_is_answered_as_one_that_there_is_not(town, signed_in):
    person_id = (await signed_in.session())["person"]["id"]
    foreign, left = await town.organisation(), await town.organisation(person_id)
    await town.execute(left, "UPDATE users SET removed_at = $2 WHERE id = $1", person_id, town.clock.at)
    told = []
    for account_id in (foreign, left, AccountId.new()):
        answer = await signed_in.change("PUT", "/v1/session", json={"account_id": account_id})
        told.append((answer.status_code, answer.json()["detail"]))
    assert set(told) == {(404, "There is no such account.")}
    assert (await signed_in.session())["role"] == "owner"


@pytest.mark.parametrize("body", [{}, {"account_id": "x"}, {"account_id": None}, {"account_id": 1}, {"role": "owner"}])
async def test_a_choice_is_an_accounts_id_and_nothing_else(signed_in, body):
    answer = await signed_in.change("PUT", "/v1/session", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_the_next_session_begins_in_the_account_that_was_chosen_last_while_one_belongs_there(town, signed_in):
    session = await signed_in.session()
    person_id = session["person"]["id"]
    org = await town.organisation(person_id)
    await signed_in.change("PUT", "/v1/session", json={"account_id": org})
    async with town.browser() as other:
        town.clock.advance(seconds=1)
        await other.sign_in(signed_in.person.login)
        assert (await other.session())["account_id"] == org
        await town.execute(org, "UPDATE users SET removed_at = $2 WHERE id = $1", person_id, town.clock.at)
        town.clock.advance(seconds=1)
        await other.sign_in(signed_in.person.login)
        assert (await other.session())["account_id"] == session["account_id"]


async def test_choices_at_once_leave_one_session_that_works(town, signed_in):
    session = await signed_in.session()
    orgs = [await town.organisation(session["person"]["id"]) for _ in range(2)]
    secret, sessions, at = signed_in.secret, town.state.sessions, town.clock.at
    done = await asyncio.gather(
        *(sessions.choose(secret, org, at=at) for org in orgs for _ in range(2)), return_exceptions=True
    )
    worked = [one for one in done if isinstance(one, tuple)]
    assert worked
    current = []
    for following, _ in worked:
        sessions.forget(session["id"])
        try:
            current.append((await sessions.recognise(following, at=at + timedelta(seconds=31))).account_id)
        except Unauthorized:
            continue
    assert len(set(current)) == 1


async def test_a_choice_that_others_keep_overtaking_is_given_up(town, signed_in):
    class Overtaken(Counting):
        async def fetch_once(self, statement, *args):
            return [] if statement == queries.CHOOSE else await super().fetch_once(statement, *args)

    account_id = (await signed_in.session())["account_id"]
    sessions = Sessions(Overtaken(town.databases.auth), town.tokens, town.state.sessions.site)
    with pytest.raises(SessionChanged):
        await sessions.choose(signed_in.secret, AccountId(account_id), at=town.clock.at)


async def test_who_is_removed_can_still_sign_out(town, signed_in):
    person_id = (await signed_in.session())["person"]["id"]
    org = await town.organisation(person_id)
    await signed_in.change("PUT", "/v1/session", json={"account_id": org})
    await town.execute(org, "UPDATE users SET removed_at = $2 WHERE id = $1", person_id, town.clock.at)
    town.state.sessions.forget_person(person_id)
    assert (await signed_in.change("DELETE", "/v1/session")).status_code == 204
    async with town.databases.api.begin(org) as opened:
        actions = await driver(opened).fetch("SELECT action FROM audit_entries ORDER BY seq")
    assert [row["action"] for row in actions] == ["session.account_chosen"]


async def test_who_is_removed_is_told_so_can_do_nothing_there_and_can_go_elsewhere(town, signed_in):
    session = await signed_in.session()
    person_id = session["person"]["id"]
    org = await town.organisation(person_id, role="admin")
    await signed_in.change("PUT", "/v1/session", json={"account_id": org})
    assert (await signed_in.http.get("/v1/account")).status_code == 200
    await town.execute(org, "UPDATE users SET removed_at = $2 WHERE id = $1", person_id, town.clock.at)
    town.state.sessions.forget_person(person_id)
    answer = await signed_in.http.get("/v1/account")
    assert (answer.status_code, answer.json()["code"]) == (403, "membership_ended")
    shown = await signed_in.session()
    assert (shown["role"], shown["scopes"]) == (None, [])
    back = await signed_in.change("PUT", "/v1/session", json={"account_id": session["account_id"]})
    assert back.json()["role"] == "owner"


async def test_a_change_of_role_holds_within_two_seconds_by_itself(town, signed_in, elsewhere):
    session = await signed_in.session()
    org = await town.organisation(session["person"]["id"], role="admin")
    await signed_in.change("PUT", "/v1/session", json={"account_id": org})
    assert (await elsewhere.recognise(signed_in.secret, at=town.clock.at)).acting().may("keys:write")
    await town.execute(org, "UPDATE users SET role = 'viewer' WHERE id = $1", session["person"]["id"])
    await asyncio.sleep(0.1)
    now = (await elsewhere.recognise(signed_in.secret, at=town.clock.at)).acting()
    assert (now.role, now.may("keys:write")) == ("viewer", False)
    town.state.sessions.forget_person(session["person"]["id"])
    answer = await signed_in.change("POST", "/v1/api-keys", json={"name": "x", "scopes": ["catalog:read"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_a_member_reaches_its_teams_and_leads_those_it_leads(town, signed_in):
    person_id = (await signed_in.session())["person"]["id"]
    org = await town.organisation(person_id)
    teams = [TeamId.new() for _ in range(3)]
    for team, role in zip(teams, ("lead", "member", None), strict=True):
        await town.execute(
            org,
            "INSERT INTO teams (account_id, id, name, time_zone, created_at) VALUES ($1, $2, $2, 'UTC', $3)",
            *(org, team, town.clock.at),
        )
        if role:
            await town.execute(
                org,
                "INSERT INTO team_members (account_id, team_id, user_id, role, added_at) VALUES ($1, $2, $3, $4, $5)",
                *(org, team, person_id, role, town.clock.at),
            )
    shown = (await signed_in.change("PUT", "/v1/session", json={"account_id": org})).json()
    assert (shown["team_ids"], shown["leads"]) == (sorted(teams[:2]), teams[:1])
    caller = (await town.state.sessions.recognise(signed_in.secret, at=town.clock.at)).acting()
    assert [caller.reaches(team, created_by=None) for team in teams] == [True, True, False]
    assert caller.reaches(None, created_by=person_id)


async def test_in_a_suspended_account_nothing_can_be_done_but_leaving_it(town, signed_in):
    session = await signed_in.session()
    async with town.databases.worker.begin_unscoped() as opened:
        statement = text("UPDATE accounts SET status = 'suspended' WHERE account_id = :a")
        await opened.execute(statement, {"a": session["account_id"]})
    town.state.sessions.forget_person(session["person"]["id"])
    answer = await signed_in.http.get("/v1/account")
    assert (answer.status_code, answer.json()["code"]) == (403, "account_suspended")
    assert (await signed_in.change("DELETE", "/v1/session")).status_code == 204


# Forgery


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "own"},
        {"X-CSRF-Token": "own"},
        {"X-CSRF-Token": "own", "Origin": "https://evil.example"},
        {"X-CSRF-Token": "own", "Origin": "own", "Sec-Fetch-Site": "cross-site"},
        {"X-CSRF-Token": "others", "Origin": "own"},
    ],
)
async def test_no_other_page_can_do_anything_in_a_persons_name(town, signed_in, headers):
    async with town.browser() as other:
        await other.sign_in(town.newcomer().login)
        others = (await other.session())["csrf_token"]
    filled = {
        "X-CSRF-Token": {"own": (await signed_in.session())["csrf_token"], "others": others},
        "Origin": {"own": town.url},
    }
    sent = {name: filled.get(name, {}).get(value, value) for name, value in headers.items()}
    for method, path in (("DELETE", "/v1/session"), ("DELETE", "/v1/sessions"), ("POST", "/v1/api-keys")):
        answer = await signed_in.http.request(method, path, headers=sent)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    await signed_in.session()


async def test_a_key_that_a_person_made_does_not_open_the_persons_own_doors(signed_in):
    body = {"name": "x", "scopes": ["admin"]}
    token = (await signed_in.session())["csrf_token"]
    headers = {"X-CSRF-Token": token, "Origin": signed_in.town.url, "Idempotency-Key": "one"}
    made = await signed_in.http.post("/v1/api-keys", json=body, headers=headers)
    assert made.status_code == 201, made.text
    bearer = {"Authorization": f"Bearer {made.json()['secret']}"}
    for path in ("/v1/session", "/v1/sessions", "/v1/me/accounts"):
        answer = await signed_in.http.get(path, headers=bearer)
        assert (answer.status_code, answer.json()["code"]) == (403, "sign_in_needed")


async def test_the_api_and_the_worker_see_no_secret_of_a_session(town, signed_in):
    for db in (town.databases.api,):
        for table in ("people", "sessions", "sign_ins"):
            with pytest.raises(Exception, match="permission denied"):
                await db.fetch_once(f"SELECT 1 FROM {table}")
    with pytest.raises(Exception, match="permission denied"):
        await town.databases.worker.fetch_once("SELECT 1 FROM people")


async def test_nothing_of_a_session_is_logged(town, signed_in, capsys):
    secret, token = signed_in.secret, (await signed_in.session())["csrf_token"]
    await signed_in.change("DELETE", "/v1/session", token=token)
    said = "".join(capsys.readouterr())
    assert "user_id=usr_" in said
    assert secret not in said
    assert token not in said


async def test_a_missing_person_has_no_sessions_to_end(town):
    with pytest.raises(NotFound):
        await town.state.sessions.end(SessionId.new(), UserId.new(), at=town.clock.at)
