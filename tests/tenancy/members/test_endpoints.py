from __future__ import annotations

import asyncio

import pytest

from app.kit.db import driver
from app.kit.ids import UserId
from app.tenancy import (
    KeyTerms,
    billing_addresses,
    create_key,
    emails_of_people,
    emails_of_roles,
    lead_emails,
    names_of,
)
from app.tenancy.revoking import revoke_keys_in_team
from tests.tenancy.conftest import PEPPER, together
from tests.waiting import waited_for


async def _owners(world, org):
    rows = await world.read(
        "SELECT id FROM users WHERE account_id = :a AND role = 'owner' AND removed_at IS NULL", a=org.id
    )
    return {row.id for row in rows}


async def test_the_people_of_an_account_are_listed_with_their_teams(lab):
    org, owner = lab
    ada = await org.join("member", name="Ada")
    team = await org.team(owner, lead=ada)
    listed = (await owner.told("GET", "/v1/members"))["data"]
    assert [(one["id"], one["role"]) for one in listed] == [(ada.id, "member"), (owner.id, "owner")]
    assert listed[0]["teams"] == [{"team_id": team, "role": "lead"}]
    assert (listed[0]["email"], listed[0]["removed_at"]) == (ada.email, None)
    assert await ada.told("GET", f"/v1/members/{ada.id}") == listed[0]
    first = await owner.told("GET", "/v1/members?limit=1")
    rest = await owner.told("GET", f"/v1/members?limit=1&cursor={first['next_cursor']}")
    assert [*first["data"], *rest["data"]] == listed


async def test_a_teams_key_sees_the_people_of_its_team_alone(lab, world):
    org, owner = lab
    ada, ben = await org.join("member"), await org.join("member")
    team = await org.team(owner, ada)
    key, _ = await world.key(owner, scopes=["teams:read"], team_id=team)
    assert [one["id"] for one in (await key.told("GET", "/v1/members"))["data"]] == [ada.id]
    assert (await key.ask("GET", f"/v1/members/{ben.id}")).status_code == 404


async def test_a_strangers_id_and_nobodys_are_told_alike(lab, world):
    _, owner = lab
    _, stranger = await world.open()
    told = [
        await owner.ask(method, f"/v1/members/{user_id}", body)
        for user_id in (stranger.id, UserId.new(), "nonsense")
        for method, body in (("GET", None), ("PATCH", {"role": "admin"}), ("DELETE", None))
    ]
    assert {(one.status_code, one.json()["detail"]) for one in told} == {(404, "There is no such member.")}


async def test_a_role_is_given_by_who_may(lab, world):
    org, owner = lab
    admin, person = await org.join("admin"), await org.join("member")
    path = f"/v1/members/{person.id}"
    assert (await admin.told("PATCH", path, {"role": "billing"}))["role"] == "billing"
    assert (await person.ask("GET", "/v1/api-keys")).json()["code"] == "scope_missing"
    refused = (
        await admin.ask("PATCH", path, {"role": "owner"}),
        await admin.ask("PATCH", f"/v1/members/{owner.id}", {"role": "member"}),
        await admin.ask("DELETE", f"/v1/members/{owner.id}"),
    )
    assert {(told.status_code, told.json()["code"]) for told in refused} == {(403, "forbidden")}
    assert (await owner.told("PATCH", path, {"role": "owner"}))["role"] == "owner"
    assert await _owners(world, org) == {owner.id, person.id}
    assert (await owner.ask("PATCH", path, {"role": "emperor"})).status_code == 422
    told = [entry for entry in await world.audit(org.id) if entry[0] == "member.updated"]
    assert [entry[2] for entry in told] == [
        {"before": {"role": "member"}, "after": {"role": "billing"}},
        {"before": {"role": "billing"}, "after": {"role": "owner"}},
    ]


@pytest.mark.parametrize("role", ["billing", "member", "viewer"])
async def test_nobody_else_changes_people(lab, role):
    org, _ = lab
    person, other = await org.join(role), await org.join("member")
    assert (await person.ask("PATCH", f"/v1/members/{person.id}", {"role": "admin"})).status_code == 403
    assert (await person.ask("DELETE", f"/v1/members/{other.id}")).status_code == 403


async def test_a_lead_and_a_teams_key_do_not_change_the_account(lab, world):
    org, owner = lab
    lead, other = await org.join("member"), await org.join("member")
    team = await org.team(owner, other, lead=lead)
    key, _ = await world.key(owner, scopes=["teams:write"], team_id=team)
    for person in (lead, key):
        for told in (
            await person.ask("PATCH", f"/v1/members/{other.id}", {"role": "admin"}),
            await person.ask("DELETE", f"/v1/members/{other.id}"),
            await person.ask("POST", "/v1/invitations", {"email": "new@example.com"}),
            await person.ask("GET", "/v1/invitations"),
        ):
            assert (told.status_code, told.json()["code"]) == (403, "forbidden")


async def test_an_owners_key_makes_owners_only_with_the_scope_admin(lab, world):
    org, owner = lab
    person = await org.join("member")
    weak, _ = await world.key(owner, scopes=["teams:write"])
    strong, _ = await world.key(owner, scopes=["admin"])
    path = f"/v1/members/{person.id}"
    assert (await weak.ask("PATCH", path, {"role": "owner"})).json()["code"] == "forbidden"
    assert (await weak.told("PATCH", path, {"role": "viewer"}))["role"] == "viewer"
    assert (await strong.told("PATCH", path, {"role": "owner"}))["role"] == "owner"


async def test_a_key_that_the_operator_made_makes_owners(lab, world, connect, worker_db, state):
    org, _ = lab
    person = await org.join("member")
    async with worker_db.begin_unscoped() as session:
        terms = KeyTerms("root", frozenset({"admin"}))
        key = await create_key(session, terms, account_id=org.id, pepper=PEPPER, at=state.clock.now())
    async with connect(key.secret) as client:
        told = await client.patch(f"/v1/members/{person.id}", json={"role": "owner"})
    assert (told.status_code, told.json()["role"]) == (200, "owner")


async def test_a_change_names_the_version_that_was_read(lab):
    org, owner = lab
    path = f"/v1/members/{(await org.join('member')).id}"
    tag = (await owner.ask("GET", path)).headers["etag"]
    await owner.told("PATCH", path, {"role": "viewer"})
    told = await owner.client.patch(path, json={"role": "admin"}, headers={"If-Match": tag})
    assert (told.status_code, told.json()["code"]) == (412, "etag_mismatch")


async def test_who_is_removed_loses_teams_keys_and_invitations_at_once(lab, world):
    org, owner = lab
    admin = await org.join("admin")
    team = await org.team(owner, admin)
    key, made = await world.key(admin)
    invited = await admin.told("POST", "/v1/invitations", {"email": "friend@example.com", "role": "admin"})
    removed = await owner.told("DELETE", f"/v1/members/{admin.id}")
    assert (removed["teams"], removed["removed_at"] is not None) == ([], True)
    assert (await key.ask("GET", "/v1/account")).json()["code"] == "key_disabled"
    assert (await admin.ask("GET", "/v1/account")).json()["code"] == "membership_ended"
    assert (await owner.told("GET", f"/v1/invitations/{invited['id']}"))["status"] == "revoked"
    assert (await owner.ask("GET", f"/v1/members/{admin.id}")).status_code == 404
    assert (await owner.told("GET", f"/v1/teams/{team}/members"))["data"] == []
    assert await owner.told("DELETE", f"/v1/members/{admin.id}") == removed
    assert (await owner.ask("PATCH", f"/v1/members/{admin.id}", {"role": "owner"})).status_code == 404
    told = (await world.audit(org.id))[-1]
    assert told[:2] == ("member.removed", admin.id)
    assert (told[2]["keys_revoked"], told[2]["teams_left"]) == ([made["id"]], [team])
    assert told[2]["invitations_revoked"] == [invited["id"]]


async def test_who_is_removed_while_it_is_taken_out_of_a_team_is_removed(lab, world, state, api_db, worker_db):
    org, owner = lab
    member = await org.join("member")
    team = await org.team(owner, member)
    key, _ = await world.key(member, team_id=team)
    async with api_db.begin(org.id) as session:
        await driver(session).execute("DELETE FROM team_members WHERE user_id = $1", member.id)
        removing = asyncio.create_task(owner.told("DELETE", f"/v1/members/{member.id}"))
        await waited_for(worker_db, session)
        await driver(session).execute("SET LOCAL lock_timeout = '500ms'")
        await revoke_keys_in_team(session, team, member.id, account_id=org.id, at=state.clock.now())
    assert (await removing)["removed_at"] is not None
    assert (await key.ask("GET", "/v1/account")).json()["code"] == "key_disabled"


async def test_who_may_no_longer_invite_has_invited_nobody(lab):
    org, owner = lab
    admin = await org.join("admin")
    invited = await admin.told("POST", "/v1/invitations", {"email": "friend@example.com"})
    await owner.told("PATCH", f"/v1/members/{admin.id}", {"role": "member"})
    assert (await owner.told("GET", f"/v1/invitations/{invited['id']}"))["status"] == "revoked"


async def test_the_last_owner_stays(lab, world):
    org, owner = lab
    await org.join("admin")
    path = f"/v1/members/{owner.id}"
    for told in (
        await owner.ask("DELETE", path),
        await owner.ask("PATCH", path, {"role": "admin"}),
        await owner.ask("POST", "/v1/account/leave"),
    ):
        assert (told.status_code, told.json()["code"]) == (409, "last_owner")
    assert (await owner.told("PATCH", path, {"role": "owner"}))["role"] == "owner"
    assert await _owners(world, org) == {owner.id}


async def test_of_two_owners_who_leave_at_once_one_stays(world):
    for _ in range(5):
        org, one = await world.open()
        other = await org.join("owner")
        answers = await together(*(person.ask("POST", "/v1/account/leave") for person in (one, other)))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert len(await _owners(world, org)) == 1


async def test_of_two_owners_who_unmake_each_other_one_stays(world):
    for _ in range(5):
        org, one = await world.open()
        other = await org.join("owner")
        answers = await together(
            one.ask("PATCH", f"/v1/members/{other.id}", {"role": "member"}),
            other.ask("DELETE", f"/v1/members/{one.id}"),
        )
        assert min(answer.status_code for answer in answers) == 200
        assert len(await _owners(world, org)) == 1


async def test_who_leaves_is_gone_and_a_key_can_not_leave(lab, world):
    org, _ = lab
    person = await org.join("member")
    key, _ = await world.key(person)
    assert (await key.ask("POST", "/v1/account/leave")).json()["code"] == "sign_in_needed"
    left = await person.ask("POST", "/v1/account/leave")
    assert (left.status_code, left.json()["id"]) == (200, person.id)
    assert (await person.ask("GET", "/v1/members")).json()["code"] == "membership_ended"
    assert (await key.ask("GET", "/v1/account")).json()["code"] == "key_disabled"


async def test_an_account_is_handed_over_in_one_step(lab, world):
    org, owner = lab
    heir = await org.join("member")
    told = await owner.ask("POST", "/v1/account/transfer", {"user_id": heir.id})
    assert (told.status_code, told.json()["id"], told.json()["role"]) == (200, heir.id, "owner")
    assert await _owners(world, org) == {heir.id}
    assert (await heir.told("GET", f"/v1/members/{owner.id}"))["role"] == "admin"
    again = await owner.ask("POST", "/v1/account/transfer", {"user_id": heir.id})
    assert (again.status_code, again.json()["code"]) == (403, "forbidden")


async def test_an_account_is_handed_over_to_somebody_of_it_alone(lab, world):
    org, owner = lab
    _, stranger = await world.open()
    gone = await org.join("member")
    await owner.told("DELETE", f"/v1/members/{gone.id}")
    for user_id in (stranger.id, owner.id, gone.id, UserId.new(), "nobody"):
        told = await owner.ask("POST", "/v1/account/transfer", {"user_id": user_id})
        assert told.status_code == 422, user_id
    assert await _owners(world, org) == {owner.id}
    admin = await org.join("admin")
    assert (await admin.ask("POST", "/v1/account/transfer", {"user_id": admin.id})).status_code == 403
    key, _ = await world.key(owner, scopes=["admin"])
    assert (await key.ask("POST", "/v1/account/transfer", {"user_id": admin.id})).json()["code"] == "sign_in_needed"


async def test_the_rooms_above_know_who_is_told_what(lab, world, api_db):
    org, owner = lab
    billing, admin = await org.join("billing"), await org.join("admin")
    lead, member, gone = await org.join("member"), await org.join("member"), await org.join("billing")
    team = await org.team(owner, member, lead=lead)
    await owner.told("DELETE", f"/v1/members/{gone.id}")
    _, key = await world.key(owner, name="ci")
    async with api_db.begin(org.id) as session:
        assert await billing_addresses(session, account_id=org.id) == [owner.email, billing.email]
        assert await emails_of_roles(session, account_id=org.id, roles=["admin"]) == [admin.email]
        assert await emails_of_people(session, account_id=org.id, user_ids=[gone.id, lead.id]) == [lead.email]
        assert await lead_emails(session, account_id=org.id, team_id=team) == [lead.email]
        names = await names_of(session, account_id=org.id, ids=[owner.id, gone.id, key["id"], UserId.new()])
    assert names == {owner.id: "Owner", gone.id: gone.name, key["id"]: "ci"}
