from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.kit.ids import TeamId
from app.tenancy import find_team, list_teams
from app.tenancy.teams import changing
from tests.tenancy.conftest import together


async def test_a_team_is_made_read_changed_and_archived(lab, world):
    org, owner = lab
    made = await owner.ask("POST", "/v1/teams", {"name": "vision", "time_zone": "Europe/Berlin"})
    team = made.json()
    path = f"/v1/teams/{team['id']}"
    assert (made.status_code, made.headers["location"]) == (201, path)
    assert (team["object"], team["name"], team["time_zone"], team["archived_at"]) == (
        "team", "vision", "Europe/Berlin", None,
    )  # fmt: skip
    read = await owner.ask("GET", path)
    assert read.json() == team
    assert read.headers["etag"] == made.headers["etag"]
    changed = await owner.told("PATCH", path, {"name": "speech", "time_zone": "UTC"})
    assert (changed["name"], changed["time_zone"]) == ("speech", "UTC")
    archived = await owner.told("DELETE", path)
    assert archived["archived_at"] is not None
    assert await owner.told("DELETE", path) == archived
    assert (await owner.told("GET", "/v1/teams"))["data"] == []
    assert (await owner.told("GET", "/v1/teams?archived=true"))["data"] == [archived]
    told = await owner.ask("PATCH", path, {"name": "again"})
    assert (told.status_code, told.json()["code"]) == (409, "invalid_state")
    assert [entry[:2] for entry in await world.audit(org.id)] == [
        ("team.created", team["id"]), ("team.updated", team["id"]), ("team.archived", team["id"]),
    ]  # fmt: skip


async def test_a_change_names_the_version_that_was_read(lab):
    _, owner = lab
    made = await owner.ask("POST", "/v1/teams", {"name": "vision"})
    path, tag = f"/v1/teams/{made.json()['id']}", made.headers["etag"]
    await owner.told("PATCH", path, {"name": "speech"})
    told = await owner.client.patch(path, json={"name": "late"}, headers={"If-Match": tag})
    assert (told.status_code, told.json()["code"]) == (412, "etag_mismatch")
    told = await owner.client.delete(path, headers={"If-Match": tag})
    assert told.status_code == 412


async def test_a_name_is_one_teams_until_it_is_archived(lab):
    _, owner = lab
    first = await owner.told("POST", "/v1/teams", {"name": "vision"})
    other = await owner.told("POST", "/v1/teams", {"name": "speech"})
    for told in (
        await owner.ask("POST", "/v1/teams", {"name": "vision"}),
        await owner.ask("PATCH", f"/v1/teams/{other['id']}", {"name": "vision"}),
    ):
        assert (told.status_code, told.json()["code"]) == (409, "name_taken")
    await owner.told("DELETE", f"/v1/teams/{first['id']}")
    assert (await owner.told("POST", "/v1/teams", {"name": "vision"}))["id"] != first["id"]


async def test_of_two_that_take_a_name_at_once_one_gets_it(lab):
    _, owner = lab
    answers = await together(*(owner.ask("POST", "/v1/teams", {"name": "vision"}) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 65},
        {"name": "a\u202eb"},
        {"name": "vision", "time_zone": "Mars/Base"},
        {"name": "vision", "time_zone": "../etc/passwd"},
        {"name": "vision", "time_zone": ""},
        {"name": "vision", "account_id": "acct_01J00000000000000000000000"},
    ],
)
async def test_an_unfit_team_is_refused(lab, body):
    _, owner = lab
    told = await owner.ask("POST", "/v1/teams", body)
    assert (told.status_code, told.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize("body", [{}, {"name": None}, {"time_zone": None}, {"role": "lead"}])
async def test_an_unfit_change_is_refused(lab, body):
    org, owner = lab
    path = f"/v1/teams/{await org.team(owner)}"
    assert (await owner.ask("PATCH", path, body)).status_code == 422


async def test_an_account_has_so_many_teams_and_no_more(lab, world):
    org, owner = lab
    await world.write(
        "INSERT INTO teams (account_id, id, name, time_zone, created_at)"
        " SELECT :a, 'team_' || n, 'team ' || n, 'UTC', now() FROM generate_series(1, :n) n",
        a=org.id, n=changing.TEAMS_MAX,
    )  # fmt: skip
    told = await owner.ask("POST", "/v1/teams", {"name": "one more"})
    assert (told.status_code, told.json()["code"]) == (409, "too_many")


async def test_a_member_sees_its_own_teams_alone(lab):
    org, owner = lab
    one, other = await org.join("member"), await org.join("member")
    mine, theirs = await org.team(owner, one), await org.team(owner, other)
    assert [team["id"] for team in (await one.told("GET", "/v1/teams"))["data"]] == [mine]
    missing = await one.ask("GET", f"/v1/teams/{TeamId.new()}")
    for path in (f"/v1/teams/{theirs}", f"/v1/teams/{theirs}/members", f"/v1/teams/{theirs}/members/{other.id}"):
        told = await one.ask("GET", path)
        assert (told.status_code, told.json()["detail"]) == (404, missing.json()["detail"])
    assert (await one.told("GET", f"/v1/teams/{mine}"))["id"] == mine
    viewer = await org.join("viewer")
    assert {team["id"] for team in (await viewer.told("GET", "/v1/teams"))["data"]} == {mine, theirs}


@pytest.mark.parametrize("role", ["billing", "member", "viewer"])
async def test_only_administrators_make_and_change_teams(lab, role):
    org, owner = lab
    person = await org.join(role)
    path = f"/v1/teams/{await org.team(owner, person)}"
    for told in (
        await person.ask("POST", "/v1/teams", {"name": "mine"}),
        await person.ask("PATCH", path, {"name": "mine"}),
        await person.ask("DELETE", path),
        await person.ask("PUT", f"{path}/members/{person.id}", {"role": "lead"}),
    ):
        assert (told.status_code, told.json()["code"]) == (403, "scope_missing")


async def test_who_leads_a_team_cares_for_its_members_and_for_nothing_else(lab):
    org, owner = lab
    lead, newcomer = await org.join("member"), await org.join("member")
    team, other = await org.team(owner, lead=lead), await org.team(owner)
    path = f"/v1/teams/{team}/members/{newcomer.id}"
    assert (await lead.told("PUT", path, {}))["role"] == "member"
    refused = (
        await lead.ask("PUT", path, {"role": "lead"}),
        await lead.ask("PATCH", f"/v1/teams/{team}", {"name": "mine"}),
        await lead.ask("DELETE", f"/v1/teams/{team}"),
        await lead.ask("POST", "/v1/teams", {"name": "another"}),
    )
    assert {(told.status_code, told.json()["code"]) for told in refused} == {(403, "forbidden")}
    assert (await lead.ask("PUT", f"/v1/teams/{other}/members/{newcomer.id}", {})).status_code == 404
    assert (await lead.told("DELETE", path))["user_id"] == newcomer.id
    await owner.told("PUT", path, {"role": "lead"})
    assert (await lead.ask("DELETE", path)).status_code == 403


async def test_members_are_put_changed_and_taken_out(lab, world):
    org, owner = lab
    ada, ben = await org.join("member", name="Ada"), await org.join("member", name="Ben")
    team = await org.team(owner, ada, ben)
    path = f"/v1/teams/{team}/members"
    listed = await owner.told("GET", path)
    assert [(one["name"], one["role"]) for one in listed["data"]] == [("Ben", "member"), ("Ada", "member")]
    first = await owner.told("GET", f"{path}?limit=1")
    rest = await owner.told("GET", f"{path}?limit=1&cursor={first['next_cursor']}")
    assert [one["name"] for one in (*first["data"], *rest["data"])] == ["Ben", "Ada"]
    put = await owner.told("PUT", f"{path}/{ada.id}", {"role": "lead"})
    assert (put["role"], put["email"]) == ("lead", ada.email)
    assert await owner.told("GET", f"{path}/{ada.id}") == put
    await owner.told("PUT", f"{path}/{ada.id}", {"role": "lead"})
    left = await ben.told("POST", f"/v1/teams/{team}/leave", status=200)
    assert left["user_id"] == ben.id
    assert (await ben.ask("POST", f"/v1/teams/{team}/leave")).status_code == 404
    assert (await owner.ask("DELETE", f"{path}/{ben.id}")).status_code == 404
    told = [entry for entry in await world.audit(org.id) if entry[0].startswith("team_member")]
    assert [entry[:2] for entry in told] == [
        ("team_member.added", ada.id), ("team_member.added", ben.id), ("team_member.updated", ada.id),
        ("team_member.removed", ben.id),
    ]  # fmt: skip
    assert told[2][2] == {"before": {"role": "member"}, "after": {"role": "lead"}}


async def test_a_cursor_of_one_teams_members_is_no_other_teams(lab):
    org, owner = lab
    people = [await org.join("member") for _ in range(2)]
    one, other = await org.team(owner, *people), await org.team(owner, *people)
    cursor = (await owner.told("GET", f"/v1/teams/{one}/members?limit=1"))["next_cursor"]
    told = await owner.ask("GET", f"/v1/teams/{other}/members?limit=1&cursor={cursor}")
    assert (told.status_code, told.json()["code"]) == (400, "invalid_cursor")


async def test_nobody_from_elsewhere_gets_into_a_team(lab, world):
    org, owner = lab
    _, stranger = await world.open()
    team = await org.team(owner)
    told = await owner.ask("PUT", f"/v1/teams/{team}/members/{stranger.id}", {})
    assert (told.status_code, told.json()["code"]) == (404, "not_found")
    assert (await stranger.ask("GET", f"/v1/teams/{team}")).status_code == 404
    assert (await stranger.ask("PUT", f"/v1/teams/{team}/members/{stranger.id}", {})).status_code == 404


async def test_who_is_put_into_a_team_and_taken_out_feels_it_at_the_next_request(lab):
    org, owner = lab
    person = await org.join("member")
    assert (await person.told("GET", "/v1/teams"))["data"] == []
    team = await org.team(owner, person)
    assert (await person.told("GET", f"/v1/teams/{team}"))["id"] == team
    await owner.told("DELETE", f"/v1/teams/{team}/members/{person.id}")
    assert (await person.ask("GET", f"/v1/teams/{team}")).status_code == 404


async def test_nobody_joins_an_archived_team(lab):
    org, owner = lab
    person, team = await org.join("member"), await org.team(owner)
    await owner.told("DELETE", f"/v1/teams/{team}")
    assert (await owner.ask("PUT", f"/v1/teams/{team}/members/{person.id}", {})).status_code == 409


async def test_a_key_can_make_a_team_only_as_far_as_its_maker_can(lab, world):
    org, owner = lab
    key, _ = await world.key(owner, scopes=["teams:write"])
    assert (await key.ask("POST", "/v1/teams", {"name": "by key"})).status_code == 201
    lead = await org.join("member")
    team = await org.team(owner, lead=lead)
    confined, _ = await world.key(owner, scopes=["teams:read", "teams:write"], team_id=team)
    assert (await confined.ask("POST", "/v1/teams", {"name": "another"})).json()["code"] == "forbidden"
    assert (await confined.told("GET", "/v1/teams"))["data"][0]["id"] == team
    newcomer = await org.join("member")
    assert (await confined.ask("PUT", f"/v1/teams/{team}/members/{newcomer.id}", {})).status_code == 200


async def test_the_rooms_above_see_a_team_with_its_zone(lab, world, api_db):
    org, owner = lab
    team = TeamId(await org.team(owner, name="a"))
    later = TeamId(await org.team(owner, name="b"))
    async with api_db.begin(org.id) as session:
        found = await find_team(session, team, account_id=org.id)
        assert (found.id, found.name, found.archived_at) == (team, "a", None)
        assert datetime(2026, 7, 1, tzinfo=UTC).astimezone(found.zone).utcoffset().total_seconds() == 0
        assert [one.id for one in await list_teams(session, account_id=org.id)] == [team, later]
        assert [one.id for one in await list_teams(session, account_id=org.id, reach={later})] == [later]
        assert await find_team(session, TeamId.new(), account_id=org.id) is None
