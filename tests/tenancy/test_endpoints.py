from __future__ import annotations

import json
from datetime import timedelta

import pytest
import structlog

from app.kit.ids import ApiKeyId

NEW = {"name": "ci", "scopes": ["rentals:read", "catalog:read"]}


def _create(client, body=None, key="k1"):
    return client.post("/v1/api-keys", json=body or NEW, headers={"Idempotency-Key": key})


async def test_the_account_is_told_with_the_key_that_asks(connect, open_with_key):
    account, key = await open_with_key(scopes={"inference:use"})
    async with connect(key.secret) as client:
        told = (await client.get("/v1/account")).json()
    assert (told["object"], told["id"], told["name"]) == ("account", account.account_id, "Ada")
    assert told["api_key"] == {"id": key.row.id, "name": "first", "mode": "live", "scopes": ["inference:use"]}


async def test_a_new_key_shows_its_secret_once_and_opens_what_it_may(connect, open_with_key):
    account, key = await open_with_key()
    async with connect(key.secret) as client:
        made = await _create(client)
        again = await _create(client)
        listed = await client.get("/v1/api-keys")
        one = await client.get(f"/v1/api-keys/{made.json()['id']}")
    assert made.status_code == 201
    assert made.headers["location"] == f"/v1/api-keys/{made.json()['id']}"
    assert made.json()["created_by"] == account.user_id
    secret = made.json()["secret"]
    assert (made.json()["prefix"], made.json()["last4"]) == (secret[:12], secret[-4:])
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == made.json() | {"secret": None}
    assert secret not in again.text + listed.text + one.text
    async with connect(secret) as client:
        assert (await client.get("/v1/account")).status_code == 200
        assert (await client.get("/v1/api-keys")).json()["code"] == "scope_missing"


@pytest.mark.parametrize(
    "changes",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"scopes": ["rentals:read"] * 20},
        {"name": ""},
        {"mode": "prod"},
        {"allowed_ips": ["300.1.1.1"]},
        {"allowed_ips": ["192.0.2.1/24"]},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "soon"},
        {"account_id": "acct_01J00000000000000000000000"},
        {"secret": "mine"},
    ],
)
async def test_unfit_terms_are_refused(connect, open_with_key, changes):
    _, key = await open_with_key()
    async with connect(key.secret) as client:
        told = await _create(client, NEW | changes)
        assert (told.status_code, told.json()["code"]) == (422, "validation_failed")
        assert len((await client.get("/v1/api-keys")).json()["data"]) == 1


async def test_a_key_gives_no_more_than_it_has(connect, open_with_key):
    _, key = await open_with_key(scopes={"keys:write", "rentals:read"})
    async with connect(key.secret) as client:
        told = await _create(client)
        assert (told.status_code, told.json()["required_scope"]) == (403, "catalog:read")
        assert (await _create(client, NEW | {"scopes": ["admin"]})).status_code == 403
        assert (await _create(client, NEW | {"scopes": ["rentals:read"]})).status_code == 201


async def test_a_test_key_makes_test_keys_only(connect, open_with_key):
    _, key = await open_with_key(mode="test")
    async with connect(key.secret) as client:
        assert (await _create(client)).json()["code"] == "forbidden"
        made = await _create(client, NEW | {"mode": "test"})
    assert made.json()["secret"].startswith("hg_test_")


async def test_keys_are_listed_newest_first_by_pages(connect, open_with_key):
    _, key = await open_with_key()
    async with connect(key.secret) as client:
        ids = [(await _create(client, key=f"k{n}")).json()["id"] for n in range(4)]
        seen, params = [], {"limit": 2}
        while params:
            page = (await client.get("/v1/api-keys", params=params)).json()
            assert page["object"] == "list"
            seen += [item["id"] for item in page["data"]]
            params = {"limit": 2, "cursor": page["next_cursor"]} if page["has_more"] else None
    assert seen == [*reversed(ids), key.row.id]


async def test_a_revoked_key_is_refused_from_the_next_request_on(connect, open_with_key):
    _, key = await open_with_key()
    async with connect(key.secret) as client:
        made = (await _create(client)).json()
        async with connect(made["secret"]) as other:
            assert (await other.get("/v1/account")).status_code == 200
            first = await client.delete(f"/v1/api-keys/{made['id']}")
            told = await other.get("/v1/account")
        assert (told.status_code, told.json()["code"]) == (401, "key_disabled")
        again = await client.delete(f"/v1/api-keys/{made['id']}")
    assert first.status_code == again.status_code == 200
    assert first.json()["revoked_at"] == again.json()["revoked_at"] is not None


async def test_a_rotated_key_and_its_successor_overlap(connect, open_with_key, state):
    _, key = await open_with_key()
    async with connect(key.secret) as client:
        old = (await _create(client)).json()
        path = f"/v1/api-keys/{old['id']}/rotate"
        made = await client.post(path, json={"overlap_seconds": 600}, headers={"Idempotency-Key": "r1"})
        again = await client.post(path, json={"overlap_seconds": 600}, headers={"Idempotency-Key": "r1"})
        twice = await client.post(path, json={"overlap_seconds": 600}, headers={"Idempotency-Key": "r2"})
        shown = (await client.get(f"/v1/api-keys/{old['id']}")).json()
    assert made.status_code == 201
    new = made.json()
    assert (new["name"], new["scopes"]) == (old["name"], old["scopes"])
    assert again.json() == new | {"secret": None}
    assert (twice.status_code, twice.json()["code"]) == (409, "invalid_state")
    assert shown["rotated_to"] == new["id"]
    for secret in (old["secret"], new["secret"]):
        async with connect(secret) as client:
            assert (await client.get("/v1/account")).status_code == 200
    state.clock.ahead = timedelta(seconds=601)
    async with connect(old["secret"]) as client:
        assert (await client.get("/v1/account")).json()["code"] == "key_expired"
    async with connect(new["secret"]) as client:
        assert (await client.get("/v1/account")).status_code == 200


async def test_without_overlap_the_old_key_ends_at_once(connect, open_with_key):
    _, key = await open_with_key()
    async with connect(key.secret) as client:
        rotated = await client.post(
            f"/v1/api-keys/{key.row.id}/rotate", json={"overlap_seconds": 0}, headers={"Idempotency-Key": "r"}
        )
        assert rotated.status_code == 201
        assert (await client.get("/v1/account")).json()["code"] == "key_expired"


async def test_rotation_does_not_lend_a_stronger_key(connect, open_with_key):
    _, strong = await open_with_key()
    async with connect(strong.secret) as client:
        weak = (await _create(client, NEW | {"scopes": ["keys:write"]})).json()
    async with connect(weak["secret"]) as client:
        told = await client.post(
            f"/v1/api-keys/{strong.row.id}/rotate", json={"overlap_seconds": 0}, headers={"Idempotency-Key": "r"}
        )
    assert (told.status_code, told.json()["code"]) == (403, "scope_missing")


async def test_a_strangers_key_and_no_key_at_all_are_told_alike(connect, open_with_key):
    _, mine = await open_with_key()
    _, theirs = await open_with_key()
    answers = []
    async with connect(mine.secret) as client:
        for key_id in (theirs.row.id, ApiKeyId.new(), "nonsense", "key_"):
            path = f"/v1/api-keys/{key_id}"
            rotate = {"json": {"overlap_seconds": 0}, "headers": {"Idempotency-Key": str(key_id)}}
            answers += [
                await client.get(path),
                await client.delete(path),
                await client.post(f"{path}/rotate", **rotate),
            ]
    told = {(answer.status_code, answer.json()["code"], answer.json()["detail"]) for answer in answers}
    assert told == {(404, "not_found", "There is no such API key.")}
    async with connect(theirs.secret) as client:
        assert (await client.get("/v1/account")).status_code == 200


async def test_an_id_is_taken_in_any_case(connect, open_with_key):
    _, key = await open_with_key()
    async with connect(key.secret) as client:
        assert (await client.get(f"/v1/api-keys/{key.row.id.lower()}")).json()["id"] == key.row.id


async def test_no_secret_is_ever_logged(connect, open_with_key):
    _, key = await open_with_key()
    with structlog.testing.capture_logs() as logs:
        async with connect(key.secret) as client:
            made = (await _create(client)).json()
            await client.get(f"/v1/api-keys/{made['secret']}?key={made['secret']}")
            await client.post("/v1/api-keys", content=made["secret"], headers={"X-Request-Id": made["secret"]})
            await _create(client, {"name": made["secret"], made["secret"]: 1}, key=made["secret"])
        async with connect(made["secret"] + "x") as client:
            await client.get("/v1/account")
    assert len(logs) == 5
    for secret in (key.secret, made["secret"]):
        assert secret not in json.dumps(logs)
