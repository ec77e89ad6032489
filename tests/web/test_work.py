from __future__ import annotations

import pytest

from app.web import Limiter, working
from app.web.principal import Principal


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Basic c2VjcmV0")],
        [("Authorization", "Bearer other")],
        [("Authorization", "secret")],
        [("Authorization", "Bearer secret"), ("Authorization", "Bearer secret")],
    ],
)
async def test_who_brings_no_key_is_nobody(client, headers):
    client.headers.pop("Authorization")
    told = await client.get("/v1/things/x", headers=headers)
    assert (told.status_code, told.json()["code"]) == (401, "unauthorized")
    assert told.headers["www-authenticate"].startswith("Bearer")
    assert "ratelimit" not in told.headers


async def test_the_scheme_is_read_in_any_case(client):
    assert (await client.get("/v1/things/x", headers={"Authorization": "bearer secret"})).status_code == 200


async def test_a_key_in_the_url_opens_nothing(client):
    client.headers.pop("Authorization")
    assert (await client.get("/v1/things/x?api_key=secret")).status_code == 401


async def test_a_missing_scope_is_named(client, state):
    state.caller(scopes=["billing:read"])
    told = await client.get("/v1/things/x")
    assert (told.status_code, told.json()["code"]) == (403, "scope_missing")
    assert told.json()["required_scope"] == "rentals:read"
    state.caller(scopes=["admin"])
    assert (await client.get("/v1/things/x")).status_code == 200


async def test_every_answer_says_how_much_of_the_limit_is_left(client, state):
    state.limiter = Limiter(per_key=2)
    first = await client.get("/v1/things/x")
    assert first.headers["ratelimit-policy"] == '"key";q=2;w=60'
    assert first.headers["ratelimit"].startswith('"key";r=1;t=')
    await client.get("/v1/things/x")
    told = await client.get("/v1/things/x")
    assert (told.status_code, told.json()["code"], told.json()["retryable"]) == (429, "rate_limited", True)
    assert 1 <= int(told.headers["retry-after"]) <= 60
    assert told.headers.get_list("ratelimit") == [told.headers["ratelimit"]]


async def test_an_address_that_keeps_failing_is_not_looked_up_any_more(client, state):
    state.limiter = Limiter(failures_per_address=3)
    statuses = [
        (await client.get("/v1/things/x", headers={"Authorization": f"Bearer {n}", "X-Forwarded-For": f"192.0.2.{n}"}))
        for n in range(5)
    ]
    assert [told.status_code for told in statuses] == [401, 401, 401, 429, 429]


def test_a_scope_that_does_not_exist_can_not_be_asked_for():
    with pytest.raises(ValueError, match="no such scope"):
        working("rentals:wirte")


async def test_a_commit_that_failed_is_not_told_as_success(db_client, db_state):
    told = await db_client.get("/v1/commit-order")
    assert db_state.effects == ["swallowed"]
    assert told.status_code == 500


async def test_the_transaction_has_ended_when_the_answer_begins(db_state, make_app):
    order = []
    app = make_app(db_state)

    class Spy:
        def begin(self, account_id):
            return Spied(db_state_db.begin(account_id))

    class Spied:
        def __init__(self, inner):
            self.inner = inner

        async def __aenter__(self):
            return await self.inner.__aenter__()

        async def __aexit__(self, *error):
            result = await self.inner.__aexit__(*error)
            order.append("commit")
            return result

    db_state_db = db_state.db
    db_state.db = Spy()
    body = b'{"name": "x"}'

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        order.append(message["type"])

    headers = [
        (b"authorization", b"Bearer secret"),
        (b"content-type", b"application/json"),
        (b"idempotency-key", b"order"),
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/things",
        "raw_path": b"/v1/things",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    assert order == ["commit", "http.response.start", "http.response.body"]


async def test_what_waits_for_the_commit_is_left_out_when_it_fails(db_client, db_state):
    await db_client.get("/v1/commit-order")
    assert "after commit" not in db_state.effects


async def test_what_follows_from_a_refusal_is_done_once_it_is_undone_and_may_add_to_it(db_client, db_state):
    told = await db_client.post("/v1/refused", json={"name": "x"})
    assert (told.status_code, told.json()["code"], told.json()["followed"]) == (404, "not_found", True)
    assert db_state.effects == ["None True"]


async def test_a_follow_up_that_fails_leaves_the_refusal_as_it_is(db_client, db_state):
    told = await db_client.post("/v1/refused", json={"name": "fails"})
    assert (told.status_code, told.json()["code"]) == (404, "not_found")


async def test_nothing_follows_from_a_success(db_client, db_state):
    assert (await db_client.post("/v1/refused", json={"name": "passes"})).status_code == 200
    assert db_state.effects == []


def test_a_principal_does_not_carry_its_secret():
    assert "secret" not in Principal.__slots__
