"""Change requests: asked by leads, decided by others, applied to the policy that was asked about."""

from __future__ import annotations

import asyncio

import pytest

from app.events import list_events
from app.policies.requests.endpoints import router
from app.tenancy.models import TeamMemberRow

WISH = {"changes": {"daily_budget": "50.00", "gpu_whitelist": ["H100", "RTX 4090"]}, "reason": "evaluation week"}


@pytest.fixture
def app(app):
    app.include_router(router)
    return app


@pytest.fixture
async def team(ada, new_team):
    return await new_team(ada.account_id)


@pytest.fixture
def path(team):
    return f"/v1/teams/{team}/policy/requests"


@pytest.fixture
async def lead(ada, new_caller, new_member, worker_db, team, at):
    """A key made by a person who leads the team."""
    user_id = await new_member(ada.account_id)
    async with worker_db.begin_unscoped() as session:
        row = TeamMemberRow(account_id=ada.account_id, team_id=team, user_id=user_id, role="lead", added_at=at)
        session.add(row)
    return await new_caller(account_id=ada.account_id, created_by=user_id)


async def asked(caller, path, **wish):
    answer = await caller.post(path, wish or WISH)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def policy_of(caller, team):
    return (await caller.get(f"/v1/teams/{team}/policy")).json()


async def test_a_lead_asks_and_what_is_approved_is_set_at_once(ada, lead, team, path, worker_db):
    wish = await asked(lead, path)
    assert (wish["state"], wish["version"], wish["outdated"]) == ("open", 0, False)
    assert wish["changes"] == {"daily_budget": "50.00", "gpu_whitelist": ["h100-80gb", "rtx-4090"]}
    assert (await policy_of(ada, team))["daily_budget"] == "10.00"
    decided = await ada.post(f"{path}/{wish['id']}/approve", {"note": "fine"})
    assert decided.status_code == 200, decided.text
    assert (decided.json()["state"], decided.json()["note"]) == ("approved", "fine")
    policy = await policy_of(ada, team)
    assert (policy["version"], policy["daily_budget"], policy["max_instances"]) == (1, "50.00", 2)
    async with worker_db.begin_unscoped() as session:
        events = await list_events(session, account_id=ada.account_id, subject=team, limit=10)
    assert [event.type for event in events] == ["policy.requested", "policy.request_approved"]


async def test_what_is_denied_changes_nothing(ada, lead, team, path):
    wish = await asked(lead, path)
    decided = await ada.post(f"{path}/{wish['id']}/deny", {})
    assert (decided.json()["state"], decided.json()["outdated"]) == ("denied", False)
    assert (await policy_of(ada, team))["version"] == 0
    again = await ada.post(f"{path}/{wish['id']}/approve", {})
    assert (again.status_code, again.json()["code"]) == (409, "invalid_state")


async def test_a_request_is_about_the_policy_that_it_was_asked_of(ada, lead, team, path, set_policy):
    wish = await asked(lead, path)
    await set_policy(ada.account_id, team, max_instances=1)
    assert (await ada.get(f"{path}/{wish['id']}")).json()["outdated"] is True
    refused = await ada.post(f"{path}/{wish['id']}/approve", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state")
    assert (await policy_of(ada, team))["daily_budget"] is None
    assert (await ada.post(f"{path}/{wish['id']}/deny", {})).status_code == 200


async def test_of_two_who_decide_at_once_one_does(ada, lead, team, path):
    wish = await asked(lead, path)
    answers = await asyncio.gather(
        *(ada.post(f"{path}/{wish['id']}/{verb}", {}) for verb in ("approve", "deny", "approve"))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    state = (await ada.get(f"{path}/{wish['id']}")).json()["state"]
    assert (await policy_of(ada, team))["version"] == (1 if state == "approved" else 0)


async def test_nobody_but_an_owner_decides_about_an_own_request(ada, new_caller, new_member, worker_db, team, path):
    admin = await new_caller(account_id=ada.account_id, created_by=await new_member(ada.account_id, role="admin"))
    wish = await asked(admin, path)
    refused = await admin.post(f"{path}/{wish['id']}/approve", {})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await admin.post(f"{path}/{wish['id']}/deny", {})).status_code == 403
    owner_id = await new_member(ada.account_id, role="owner")
    owner = await new_caller(account_id=ada.account_id, created_by=owner_id)
    assert (await owner.post(f"{path}/{(await asked(owner, path))['id']}/approve", {})).status_code == 200


async def test_who_rents_in_a_team_asks_and_neither_it_nor_a_lead_decides(
    ada, lead, new_caller, new_member, team, path
):
    member = await new_caller(account_id=ada.account_id, created_by=await new_member(ada.account_id, team))
    wish = await asked(member, path)
    for person in (lead, member):
        assert (await person.post(f"{path}/{wish['id']}/approve", {})).status_code == 403
    viewer = await new_caller(
        account_id=ada.account_id, created_by=await new_member(ada.account_id, team, role="viewer")
    )
    assert (await viewer.post(path, WISH)).status_code == 403
    assert (await member.get(f"{path}/{wish['id']}")).json()["id"] == wish["id"]


async def test_another_teams_and_another_accounts_requests_do_not_exist(ada, lead, new_caller, new_team, path):
    wish = await asked(lead, path)
    other = await new_team(ada.account_id, name="speech")
    elsewhere = f"/v1/teams/{other}/policy/requests"
    assert (await ada.get(f"{elsewhere}/{wish['id']}")).status_code == 404
    assert (await lead.get(elsewhere)).status_code == 404
    stranger = await new_caller()
    for answer in (
        await stranger.get(path),
        await stranger.get(f"{path}/{wish['id']}"),
        await stranger.post(path, WISH),
        await stranger.post(f"{path}/{wish['id']}/approve", {}),
    ):
        assert answer.status_code == 404, answer.text


async def test_requests_are_listed_newest_first_page_by_page(ada, lead, path):
    wishes = [await asked(lead, path) for _ in range(3)]
    await ada.post(f"{path}/{wishes[0]['id']}/deny", {})
    first = (await ada.get(path, params={"limit": 2})).json()
    rest = (await ada.get(path, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    listed = [wish["id"] for page in (first, rest) for wish in page["data"]]
    assert listed == [wish["id"] for wish in reversed(wishes)]
    still_open = (await ada.get(path, params={"state": "open"})).json()["data"]
    assert [wish["id"] for wish in still_open] == [wishes[2]["id"], wishes[1]["id"]]


@pytest.mark.parametrize(
    "wish",
    [
        {"changes": {}, "reason": "why"},
        {"changes": {"daily_budget": "-1"}, "reason": "why"},
        {"changes": {"gpu_whitelist": ["Voodoo 2"]}, "reason": "why"},
        {"changes": {"daily_budget": "1"}, "reason": ""},
        {"changes": {"daily_budget": "1"}},
        {"changes": {"magic": 1}, "reason": "why"},
    ],
)
async def test_what_no_policy_says_can_not_be_asked_for(ada, path, wish):
    assert (await ada.post(path, wish)).status_code == 422


async def test_null_asks_for_no_limit_and_is_applied_as_such(ada, lead, team, path):
    wish = await asked(lead, path, changes={"daily_budget": None, "on_budget_exceeded": "stop_all"}, reason="free")
    assert wish["changes"] == {"daily_budget": None, "on_budget_exceeded": "stop_all"}
    await ada.post(f"{path}/{wish['id']}/approve", {})
    policy = await policy_of(ada, team)
    assert (policy["daily_budget"], policy["on_budget_exceeded"]) == (None, "stop_all")
