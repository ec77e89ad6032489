from __future__ import annotations

import pytest

from app.kit.ids import AccountId
from app.tenancy.accounts import opening_endpoints
from tests.tenancy.conftest import together


async def _open(person, name, key="k1"):
    return await person.client.post("/v1/accounts", json={"name": name}, headers={"Idempotency-Key": key})


async def test_an_account_is_told_to_a_person_with_its_role(lab):
    org, _ = lab
    viewer = await org.join("viewer")
    told = await viewer.told("GET", "/v1/account")
    assert (told["id"], told["kind"], told["api_key"]) == (org.id, "organization", None)
    assert told["person"] == {"user_id": viewer.id, "role": "viewer"}


async def test_an_account_is_renamed_by_who_administers_it(lab, world):
    org, owner = lab
    tag = (await owner.ask("GET", "/v1/account")).headers["etag"]
    assert (await owner.told("PATCH", "/v1/account", {"name": "Works"}))["name"] == "Works"
    late = await owner.client.patch("/v1/account", json={"name": "Late"}, headers={"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "etag_mismatch")
    member = await org.join("member")
    assert (await member.ask("PATCH", "/v1/account", {"name": "Mine"})).json()["code"] == "scope_missing"
    key, _ = await world.key(owner, scopes=["admin"], team_id=await org.team(owner))
    assert (await key.ask("PATCH", "/v1/account", {"name": "Mine"})).json()["code"] == "forbidden"
    for body in ({}, {"name": ""}, {"name": None}, {"status": "suspended"}):
        assert (await owner.ask("PATCH", "/v1/account", body)).status_code == 422
    told = [entry[2] for entry in await world.audit(org.id) if entry[0] == "account.updated"]
    assert told == [{"before": {"name": "Lab"}, "after": {"name": "Works"}}]


async def test_a_person_opens_an_organization_with_a_wallet_and_owns_it(lab, world):
    org, _ = lab
    person = await org.join("viewer", name="Ada")
    made = await _open(person, "Works")
    told = made.json()
    assert (made.status_code, told["name"], told["kind"], told["role"]) == (201, "Works", "organization", "owner")
    assert (await person.told("GET", "/v1/accounts"))["data"][0] == told
    again = await _open(person, "Works")
    assert (again.status_code, again.json()) == (201, told)
    assert again.headers["idempotency-replayed"] == "true"
    other = await _open(person, "Other")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    account_id = AccountId(told["id"])
    [wallet] = await world.read("SELECT available, seq FROM wallets WHERE account_id = :a", a=account_id)
    assert (wallet.available, wallet.seq) == (0, 0)
    [owner] = await world.read("SELECT id, name, email, role FROM users WHERE account_id = :a", a=account_id)
    assert tuple(owner) == (person.id, "Ada", person.email, "owner")
    assert [entry[:2] for entry in await world.audit(account_id)] == [("account.opened", account_id)]


async def test_the_same_key_opens_one_organization_also_at_once_and_another_persons_key_another(lab):
    org, owner = lab
    other = await org.join("member")
    answers = await together(*(_open(owner, "Works") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (await _open(other, "Works")).json()["id"] != answers[0].json()["id"]


async def test_a_key_opens_no_account_and_lists_none(lab, world):
    _, owner = lab
    key, _ = await world.key(owner, scopes=["admin"])
    assert (await _open(key, "Works")).json()["code"] == "sign_in_needed"
    assert (await key.ask("GET", "/v1/accounts")).json()["code"] == "sign_in_needed"


async def test_opening_needs_a_key_that_can_be_repeated(lab):
    _, owner = lab
    told = await owner.client.post("/v1/accounts", json={"name": "Works"})
    assert (told.status_code, told.json()["code"]) == (400, "idempotency_key_missing")


async def test_a_person_owns_so_many_organizations_and_no_more(lab, world):
    _, owner = lab
    await world.write(
        "INSERT INTO accounts (account_id, name, kind, status, metadata, created_at)"
        " SELECT :a || n, 'x', 'organization', 'active', '{}', now() FROM generate_series(1, :n) n",
        a=owner.id, n=opening_endpoints.ORGANIZATIONS_MAX - 1,
    )  # fmt: skip
    await world.write(
        "INSERT INTO users (account_id, id, email, name, role, joined_at)"
        " SELECT CAST(:u AS text) || n, :u, 'x', 'x', 'owner', now() FROM generate_series(1, :n) n",
        u=owner.id, n=opening_endpoints.ORGANIZATIONS_MAX - 1,
    )  # fmt: skip
    told = await _open(owner, "One more")
    assert (told.status_code, told.json()["code"]) == (409, "too_many")


async def test_the_api_opens_no_wallet_with_money_in_it(api_db, world):
    account_id = AccountId.new()
    statement = (
        "INSERT INTO wallets (account_id, bucket, available, reserved, owed, seq, alert_below, created_at)"
        " VALUES (:a, 0, 5, 0, 0, 0, 0, now())"
    )
    with pytest.raises(Exception, match="row-level security"):
        await world.write_as(account_id, statement, a=account_id)
