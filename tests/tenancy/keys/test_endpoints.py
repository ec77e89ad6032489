from __future__ import annotations

import json
from datetime import timedelta

import pytest
import structlog

from app.kit.ids import ApiKeyId
from app.tenancy import key_limits, scopes_of
from app.tenancy.keys.granting import KEYS_MAX
from app.web.principal import SpendLimit
from tests.tenancy.conftest import together

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


async def _made(person, **terms):
    return await person.told("POST", "/v1/api-keys", {"name": "key", "scopes": ["keys:write"], **terms})


async def test_a_key_belongs_to_a_team_and_has_a_limit(lab, world, api_db, state):
    org, owner = lab
    team = await org.team(owner)
    key, made = await world.key(
        owner, scopes=["rentals:read", "teams:read"], team_id=team, limit={"amount": "12.50", "reset": "daily"}
    )
    assert (made["team_id"], made["limit"]) == (team, {"amount": "12.50", "reset": "daily"})
    secret = key.client.headers["Authorization"].removeprefix("Bearer ")
    caller = await state.authenticate(secret, at=state.clock.now(), address=None)
    assert (caller.team_id, caller.reach, caller.role) == (team, {team}, "owner")
    assert caller.limit == SpendLimit(12_500_000, "daily")
    async with api_db.begin(org.id) as session:
        assert await key_limits(session, account_id=org.id, key_ids=[made["id"], ApiKeyId.new()]) == {
            made["id"]: SpendLimit(12_500_000, "daily")
        }


@pytest.mark.parametrize(
    "terms",
    [
        {"limit": {"amount": "0"}},
        {"limit": {"amount": "-1"}},
        {"limit": {"amount": "1", "reset": "hourly"}},
        {"limit": {}},
        {"limit": "5"},
        {"team_id": "team_01J00000000000000000000000"},
        {"team_id": "vision"},
    ],
)
async def test_an_unfit_limit_or_team_is_refused(lab, terms):
    _, owner = lab
    told = await owner.ask("POST", "/v1/api-keys", {"name": "key", "scopes": ["keys:write"], **terms})
    assert (told.status_code, told.json()["code"]) == (422, "validation_failed")


async def test_a_key_is_changed_and_the_next_request_feels_it(lab, world):
    org, owner = lab
    team = await org.team(owner)
    key, made = await world.key(owner, scopes=["teams:read"])
    path = f"/v1/api-keys/{made['id']}"
    assert (await key.told("GET", "/v1/teams"))["data"] != []
    other = await org.team(owner)
    changed = await owner.told("PATCH", path, {"name": "ci", "team_id": team, "limit": {"amount": "5"}})
    assert (changed["name"], changed["team_id"]) == ("ci", team)
    assert changed["limit"] == {"amount": "5.00", "reset": None}
    assert [one["id"] for one in (await key.told("GET", "/v1/teams"))["data"]] == [team]
    freed = await owner.told("PATCH", path, {"team_id": None, "limit": None, "allowed_ips": ["192.0.2.0/24"]})
    assert (freed["team_id"], freed["limit"], freed["name"]) == (None, None, "ci")
    assert (await key.ask("GET", "/v1/teams")).json()["code"] == "ip_not_allowed"
    told = [entry[2] for entry in await world.audit(org.id) if entry[0] == "api_key.updated"]
    assert told[0]["after"] == {"name": "ci", "team_id": team, "spend_limit": 5_000_000}
    assert other != team


@pytest.mark.parametrize("body", [{}, {"name": None}, {"allowed_ips": None}, {"scopes": ["admin"]}, {"mode": "live"}])
async def test_an_unfit_change_is_refused(lab, body):
    _, owner = lab
    made = await _made(owner)
    assert (await owner.ask("PATCH", f"/v1/api-keys/{made['id']}", body)).status_code == 422


async def test_a_change_names_the_version_that_was_read(lab):
    _, owner = lab
    path = f"/v1/api-keys/{(await _made(owner))['id']}"
    tag = (await owner.ask("GET", path)).headers["etag"]
    await owner.told("PATCH", path, {"name": "other"})
    told = await owner.client.patch(path, json={"name": "late"}, headers={"If-Match": tag})
    assert (told.status_code, told.json()["code"]) == (412, "etag_mismatch")


async def test_a_revoked_key_stays_as_it_is(lab, world):
    org, owner = lab
    path = f"/v1/api-keys/{(await _made(owner))['id']}"
    for _ in range(2):
        await owner.told("DELETE", path)
    assert (await owner.ask("PATCH", path, {"name": "other"})).json()["code"] == "invalid_state"
    assert [entry[0] for entry in await world.audit(org.id)] == ["api_key.created", "api_key.revoked"]


async def test_a_member_sees_and_ends_its_own_keys_alone(lab, world):
    org, owner = lab
    ada, ben = await org.join("member"), await org.join("member")
    mine, theirs = await _made(ada), await _made(ben)
    assert [one["id"] for one in (await ada.told("GET", "/v1/api-keys"))["data"]] == [mine["id"]]
    missing = await ada.ask("GET", f"/v1/api-keys/{ApiKeyId.new()}")
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
        told = await ada.ask(method, f"/v1/api-keys/{theirs['id']}", body)
        assert (told.status_code, told.json()["detail"]) == (404, missing.json()["detail"])
    assert (await ada.ask("POST", f"/v1/api-keys/{theirs['id']}/rotate", {})).status_code == 404
    assert {one["id"] for one in (await owner.told("GET", "/v1/api-keys"))["data"]} == {mine["id"], theirs["id"]}
    assert (await owner.told("DELETE", f"/v1/api-keys/{mine['id']}"))["revoked_at"]


async def test_a_teams_keys_are_seen_in_the_team_and_ended_by_who_leads_it(lab):
    org, owner = lab
    ada, lead = await org.join("member"), await org.join("member")
    team = await org.team(owner, ada, lead=lead)
    other = await org.team(owner)
    shared = await _made(owner, team_id=team)
    await _made(owner, team_id=other)
    path = f"/v1/api-keys/{shared['id']}"
    assert [one["id"] for one in (await ada.told("GET", f"/v1/api-keys?team_id={team}"))["data"]] == [shared["id"]]
    assert (await ada.told("GET", path))["id"] == shared["id"]
    for told in (await ada.ask("DELETE", path), await ada.ask("PATCH", path, {"limit": {"amount": "1000"}})):
        assert (told.status_code, told.json()["code"]) == (403, "forbidden")
    assert (await lead.told("PATCH", path, {"limit": {"amount": "1"}}))["limit"]["amount"] == "1.00"
    assert (await lead.told("DELETE", path))["revoked_at"]


async def test_a_member_makes_keys_for_its_own_teams_alone(lab):
    org, owner = lab
    ada = await org.join("member")
    mine, theirs = await org.team(owner, ada), await org.team(owner)
    assert (await _made(ada, team_id=mine))["team_id"] == mine
    told = await ada.ask("POST", "/v1/api-keys", {"name": "key", "scopes": ["keys:write"], "team_id": theirs})
    assert (told.status_code, told.json()["code"]) == (422, "validation_failed")
    await owner.told("DELETE", f"/v1/teams/{mine}")
    told = await ada.ask("POST", "/v1/api-keys", {"name": "key", "scopes": ["keys:write"], "team_id": mine})
    assert (told.status_code, told.json()["code"]) == (409, "invalid_state")


async def test_what_a_teams_key_makes_is_the_teams(lab, world):
    org, owner = lab
    team, other = await org.team(owner), await org.team(owner)
    key, made = await world.key(owner, team_id=team)
    elsewhere = await _made(owner)
    child = await _made(key)
    assert child["team_id"] == team
    assert {one["id"] for one in (await key.told("GET", "/v1/api-keys"))["data"]} == {made["id"], child["id"]}
    assert (await key.ask("GET", f"/v1/api-keys/{elsewhere['id']}")).status_code == 404
    assert (await key.ask("PATCH", f"/v1/api-keys/{child['id']}", {"team_id": other})).status_code == 422
    assert (await key.told("PATCH", f"/v1/api-keys/{child['id']}", {"team_id": None}))["team_id"] == team


async def test_a_key_with_a_limit_makes_nothing_that_would_spend_beside_it(lab, world):
    _, owner = lab
    key, made = await world.key(owner, limit={"amount": "5"})
    path = f"/v1/api-keys/{made['id']}"
    refused = (
        await key.ask("POST", "/v1/api-keys", {"name": "key", "scopes": ["keys:write"]}),
        await key.ask("POST", f"{path}/rotate", {}),
        await key.ask("PATCH", path, {"limit": None}),
    )
    assert {(told.status_code, told.json()["code"]) for told in refused} == {(403, "forbidden")}
    rotated = await owner.told("POST", f"{path}/rotate", {})
    assert (rotated["limit"], rotated["rotated_to"]) == ({"amount": "5.00", "reset": None}, None)
    assert (await key.told("DELETE", path))["revoked_at"]


async def test_a_key_goes_as_far_as_its_makers_role_still_goes(lab, world, state):
    org, owner = lab
    admin = await org.join("admin")
    key, made = await world.key(admin, scopes=["admin"])
    assert (await key.ask("POST", "/v1/teams", {"name": "by key"})).status_code == 201
    await owner.told("PATCH", f"/v1/members/{admin.id}", {"role": "viewer"})
    assert (await key.ask("POST", "/v1/teams", {"name": "another"})).json()["code"] == "scope_missing"
    assert (await key.ask("GET", "/v1/teams")).status_code == 200
    assert (await key.told("GET", "/v1/account"))["api_key"]["scopes"] == sorted(scopes_of("viewer"))
    await owner.told("PATCH", f"/v1/members/{admin.id}", {"role": "admin"})
    assert (await key.ask("POST", "/v1/teams", {"name": "another"})).status_code == 201
    assert (await owner.told("GET", f"/v1/api-keys/{made['id']}"))["scopes"] == ["admin"]


async def test_rotation_lends_nobody_the_power_of_who_made_the_key(lab, world, state):
    org, owner = lab
    admin = await org.join("admin")
    _, made = await world.key(owner, scopes=["admin"])
    rotated = await admin.told("POST", f"/v1/api-keys/{made['id']}/rotate", {"overlap_seconds": 0})
    caller = await state.authenticate(rotated["secret"], at=state.clock.now(), address=None)
    assert (caller.role, caller.user_id) == ("admin", admin.id)


async def test_keys_end_with_the_team_and_with_the_part_in_it(lab, world):
    org, owner = lab
    ada = await org.join("member")
    team = await org.team(owner, ada)
    hers, _ = await world.key(ada, team_id=team, scopes=["teams:read"])
    own, _ = await world.key(ada, scopes=["teams:read"])
    shared, _ = await world.key(owner, team_id=team, scopes=["teams:read"])
    await owner.told("DELETE", f"/v1/teams/{team}/members/{ada.id}")
    assert (await hers.ask("GET", "/v1/teams")).json()["code"] == "key_disabled"
    assert (await own.ask("GET", "/v1/teams")).status_code == 200
    assert (await shared.ask("GET", "/v1/teams")).status_code == 200
    await owner.told("DELETE", f"/v1/teams/{team}")
    assert (await shared.ask("GET", "/v1/teams")).json()["code"] == "key_disabled"


async def test_a_key_is_disabled_while_its_maker_is_not_in_its_team(lab, world, state):
    org, owner = lab
    admin = await org.join("admin")
    team = await org.team(owner)
    key, _ = await world.key(admin, team_id=team, scopes=["teams:read"])
    await owner.told("PATCH", f"/v1/members/{admin.id}", {"role": "member"})
    assert (await key.ask("GET", "/v1/teams")).json()["code"] == "key_disabled"
    await owner.told("PUT", f"/v1/teams/{team}/members/{admin.id}", {})
    assert (await key.ask("GET", "/v1/teams")).status_code == 200


async def test_no_key_outlives_the_team_that_is_archived_or_the_maker_who_is_removed_in_that_moment(lab, world):
    org, owner = lab
    for _ in range(3):
        admin = await org.join("admin")
        team = await org.team(owner)
        body = {"name": "key", "scopes": ["keys:write"]}
        path = f"/v1/api-keys/{(await _made(admin, team_id=team))['id']}"
        await together(
            *(admin.ask("POST", "/v1/api-keys", {**body, "team_id": team}) for _ in range(2)),
            admin.ask("POST", f"{path}/rotate", {}),
            admin.ask("PATCH", path, {"team_id": team, "name": "other"}),
            owner.ask("DELETE", f"/v1/teams/{team}"),
        )
        await together(
            *(admin.ask("POST", "/v1/api-keys", body) for _ in range(2)),
            admin.ask("POST", "/v1/invitations", {"email": "friend@example.com"}),
            owner.ask("DELETE", f"/v1/members/{admin.id}"),
        )
    # what must be true is asked at the end of every test


async def test_an_account_has_so_many_keys_in_force_and_no_more(lab, world):
    org, owner = lab
    await world.write_as(
        org.id,
        "INSERT INTO api_keys (account_id, id, name, prefix, last4, mode, scopes, allowed_ips, created_at)"
        " SELECT :a, 'key_' || n, 'x', 'x', 'x', 'live', '{}', '{}', now() FROM generate_series(1, :n) n",
        a=org.id,
        n=KEYS_MAX,
    )
    told = await owner.ask("POST", "/v1/api-keys", {"name": "key", "scopes": ["keys:write"]})
    assert (told.status_code, told.json()["code"]) == (409, "too_many")
    await world.write_as(org.id, "UPDATE api_keys SET revoked_at = now() WHERE id = 'key_1'")
    assert (await _made(owner))["name"] == "key"
