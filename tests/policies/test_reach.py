"""Whose rentals a caller sees inside one account: a member its teams' and its own, a team's key that team's."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import pytest

from app.kit.ids import TeamId


@pytest.fixture
async def house(ada, new_team, new_member, new_caller):
    """Two teams, a member of one of them with two keys, and a rental of each kind."""

    red = await new_team(ada.account_id, name="red")
    blue = await new_team(ada.account_id, name="blue")
    person = await new_member(ada.account_id, red)
    return SimpleNamespace(
        red=red,
        blue=blue,
        person=person,
        owner=ada,
        member=await new_caller(account_id=ada.account_id, created_by=person),
        blue_key=await new_caller(account_id=ada.account_id, team_id=blue),
        of_red=await ada.rent(family="rtx-4090", team_id=red),
        of_blue=await ada.rent(family="rtx-4090", team_id=blue),
        of_none=await ada.rent(family="rtx-4090"),
    )


ROUTES = (
    ("GET", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("POST", "/stop"),
    ("POST", "/extend"),
    ("POST", "/report"),
    ("POST", "/hibernate"),
    ("POST", "/resume"),
    ("GET", "/events"),
    ("GET", "/logs"),
    ("GET", "/attempts"),
    ("GET", "/meter"),
    ("GET", "/receipt"),
    ("PUT", "/ssh-keys/sshkey_01J00000000000000000000000"),
    ("DELETE", "/ssh-keys/sshkey_01J00000000000000000000000"),
)
BODIES = {"PATCH": {"name": "mine"}, "/extend": {"seconds": 60}, "/report": {"reason": "slow"}}


async def _call(caller, rental_id, method, path):
    body = BODIES.get(path) or BODIES.get(method)
    headers = {"Idempotency-Key": f"{method}{path}{rental_id}"}
    return await caller.http.request(method, f"/v1/rentals/{rental_id}{path}", json=body, headers=headers)


async def test_beyond_its_reach_a_rental_is_like_none_at_all(house):
    beyond_reach = ((house.member, house.of_blue), (house.blue_key, house.of_red), (house.blue_key, house.of_none))
    for (caller, beyond), (method, path) in product(beyond_reach, ROUTES):
        answer = await _call(caller, beyond["id"], method, path)
        assert answer.status_code == 404, answer.text
        nobodys = await _call(caller, "rent_01J00000000000000000000000", method, path)
        told = {"detail", "code", "suggestion", "status"}
        assert {name: answer.json()[name] for name in told} == {name: nobodys.json()[name] for name in told}


async def test_streams_are_within_reach_only(house):
    accept = {"Accept": "text/event-stream"}
    beyond = await house.member.get(f"/v1/rentals/{house.of_blue['id']}/events", headers=accept)
    assert beyond.status_code == 404


async def test_lists_tell_what_is_within_reach(house):
    async def ids(caller, **query):
        return {one["id"] for one in (await caller.get("/v1/rentals", params=query)).json()["data"]}

    mine = await house.member.rent(family="rtx-4090")  # its only team is implied
    assert mine["team_id"] == house.red
    assert mine["user_id"] == house.person
    everything = {house.of_red["id"], house.of_blue["id"], house.of_none["id"], mine["id"]}
    assert await ids(house.owner) == everything
    assert await ids(house.member) == {house.of_red["id"], mine["id"]}
    assert await ids(house.blue_key) == {house.of_blue["id"]}
    assert await ids(house.owner, team_id=house.red) == {house.of_red["id"], mine["id"]}
    assert await ids(house.member, team_id=house.blue) == set()


async def test_within_its_reach_a_member_does_what_its_scopes_allow(house):
    assert (await house.member.get(f"/v1/rentals/{house.of_red['id']}")).status_code == 200
    assert (await house.member.post(f"/v1/rentals/{house.of_red['id']}/stop")).status_code == 200


async def test_a_team_beyond_reach_is_no_team(house):
    for caller, team in ((house.member, house.blue), (house.blue_key, house.red), (house.owner, TeamId.new())):
        for path in ("/v1/rentals", "/v1/quotes"):
            refused = await caller.post(path, {"family": "rtx-4090", "team_id": team})
            assert refused.status_code == 422, refused.text
            [problem] = refused.json()["errors"]
            assert problem["pointer"] == "/team_id"


async def test_a_keys_team_is_implied(house):
    assert (await house.blue_key.rent(family="rtx-4090"))["team_id"] == house.blue


async def test_a_member_of_two_teams_says_for_which(house, new_member, new_caller):
    person = await new_member(house.owner.account_id, house.red, house.blue)
    both = await new_caller(account_id=house.owner.account_id, created_by=person)
    refused = await both.post("/v1/rentals", {"family": "rtx-4090"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["code"] == "missing"
    assert (await both.rent(family="rtx-4090", team_id=house.red))["team_id"] == house.red
