"""Policies over HTTP: read, set against a version, tried out; by whom."""

from __future__ import annotations

import pytest

from app.kit.ids import ApiKeyId, TeamId, UserId
from app.web.principal import SpendLimit

DEFAULT = {
    "object": "policy", "kind": "team", "version": 0, "gpu_whitelist": ["rtx-4090"], "max_instances": 2,
    "max_gpus": None, "max_price_per_hour": None, "daily_budget": "10.00", "monthly_budget": None,
    "max_duration_seconds": None, "allowed_regions": None, "allowed_providers": None, "min_reliability": 0.95,
    "on_budget_exceeded": "pause_new", "paused_until": None, "paused_because": None, "updated_at": None,
    "updated_by": None,
}  # fmt: skip


@pytest.fixture
async def team(ada, new_team):
    return await new_team(ada.account_id, time_zone="Asia/Kolkata")


async def test_a_new_teams_policy_is_strict(ada, team):
    answer = await ada.get(f"/v1/teams/{team}/policy")
    assert answer.status_code == 200
    told = answer.json()
    assert told.pop("usage") == {
        "instances": 0, "gpus": 0, "held": "0.00",
        "budgets": [{
            "name": "daily_budget", "amount": "10.00", "spent": "0.00", "held": "0.00", "left": "10.00",
            "since": "2026-02-28T18:30:00.000Z", "until": "2026-03-01T18:30:00.000Z",
        }],
    }  # fmt: skip
    assert told == DEFAULT | {"subject": team, "time_zone": "Asia/Kolkata"}


async def test_every_other_subject_has_no_limit_until_one_is_set(ada, new_member):
    person = await new_member(ada.account_id)
    for path, kind in (
        ("/v1/account/policy", "account"),
        (f"/v1/members/{person}/policy", "user"),
        (f"/v1/api-keys/{ada.key_id}/policy", "key"),
    ):
        told = (await ada.get(path)).json()
        assert told["kind"] == kind
        limits = [
            name for name, value in DEFAULT.items() if value is not None and name.startswith(("max", "daily", "gpu"))
        ]
        assert [told[name] for name in limits] == [None] * len(limits)
        assert told["usage"]["budgets"] == []


async def test_what_is_set_is_shown_and_holds_at_once(ada, team):
    await ada.rent(family="rtx-4090", team_id=team)
    body = {
        "gpu_whitelist": ["RTX 4090", "h100-80gb", "rtx-4090"], "max_instances": 1, "max_gpus": 8,
        "max_price_per_hour": "3.5", "daily_budget": 50, "monthly_budget": "1000.00", "max_duration_seconds": 86_400,
        "allowed_regions": ["US", "se-lulea"], "allowed_providers": ["north"], "min_reliability": None,
        "on_budget_exceeded": "alert",
    }  # fmt: skip
    answer = await ada.http.put(f"/v1/teams/{team}/policy", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    expected = body | {
        "gpu_whitelist": ["rtx-4090", "h100-80gb"], "max_price_per_hour": "3.50", "daily_budget": "50.00", "version": 1,
        "updated_by": ada.key_id,
    }  # fmt: skip
    assert {name: told[name] for name in expected} == expected
    assert (told["usage"]["instances"], told["usage"]["held"]) == (1, "0.364")
    again = await ada.get(f"/v1/teams/{team}/policy")
    assert again.json() == told
    assert again.headers["etag"] == answer.headers["etag"]
    refused = await ada.post("/v1/rentals", {"family": "rtx-4090", "team_id": team})
    assert refused.json()["reason"] == "Instance limit reached (1/1)"


async def test_a_patch_changes_what_it_names_and_null_clears(ada, team):
    path = f"/v1/teams/{team}/policy"
    told = (await ada.http.patch(path, json={"daily_budget": "20", "max_instances": None})).json()
    assert (told["daily_budget"], told["max_instances"], told["gpu_whitelist"]) == ("20.00", None, ["rtx-4090"])
    told = (await ada.http.patch(path, json={"min_reliability": 0.5})).json()
    assert (told["daily_budget"], told["min_reliability"], told["version"]) == ("20.00", 0.5, 2)


async def test_a_change_of_an_older_version_is_refused(ada, team):
    path = f"/v1/teams/{team}/policy"
    first = (await ada.get(path)).headers["etag"]
    assert (await ada.http.patch(path, json={"max_gpus": 3}, headers={"If-Match": first})).status_code == 200
    late = await ada.http.put(path, json={}, headers={"If-Match": first})
    assert late.status_code == 412
    assert (await ada.get(path)).json()["max_gpus"] == 3


async def test_days_of_the_account_and_of_persons_begin_where_it_is_said(ada, new_member):
    person = await new_member(ada.account_id)
    for path in ("/v1/account/policy", f"/v1/members/{person}/policy"):
        told = (await ada.http.put(path, json={"daily_budget": "5", "time_zone": "Europe/Berlin"})).json()
        assert told["usage"]["budgets"][0]["since"] == "2026-02-28T23:00:00.000Z"
        told = (await ada.http.patch(path, json={"time_zone": "UTC"})).json()
        assert told["usage"]["budgets"][0]["since"] == "2026-03-01T00:00:00.000Z"
        assert told["daily_budget"] == "5.00"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"gpu_whitelist": ["warp-drive"]}, "/gpu_whitelist/0"),
        ({"daily_budget": "-1"}, "/daily_budget"),
        ({"daily_budget": "1.0000001"}, "/daily_budget"),
        ({"max_instances": -1}, "/max_instances"),
        ({"max_instances": True}, "/max_instances"),
        ({"min_reliability": 1.5}, "/min_reliability"),
        ({"on_budget_exceeded": "panic"}, "/on_budget_exceeded"),
        ({"time_zone": "UTC"}, "/time_zone"),
        ({"max_duration_seconds": 1}, "/max_duration_seconds"),
        ({"allowed_regions": []}, "/allowed_regions"),
        ({"version": 3}, "/version"),
    ],
)
async def test_what_is_no_policy_is_refused(ada, team, body, pointer):
    for method in ("PUT", "PATCH"):
        answer = await ada.http.request(method, f"/v1/teams/{team}/policy", json=body)
        assert answer.status_code == 422
        assert pointer in {problem["pointer"] for problem in answer.json()["errors"]}


async def test_who_is_held_by_a_policy_does_not_change_it(ada, team, new_member, new_caller):
    member = await new_member(ada.account_id, team)
    callers = [
        await new_caller(account_id=ada.account_id, created_by=member),
        await new_caller(account_id=ada.account_id, team_id=team),
        await new_caller(account_id=ada.account_id, created_by=await new_member(ada.account_id, role="viewer")),
    ]
    for caller in callers:
        assert (await caller.get(f"/v1/teams/{team}/policy")).status_code == 200
        for path in (f"/v1/teams/{team}/policy", "/v1/account/policy", f"/v1/api-keys/{caller.key_id}/policy"):
            answer = await caller.http.patch(path, json={"max_instances": 99})
            assert answer.status_code == 403, answer.text


async def test_what_is_beyond_reach_or_does_not_exist_is_not_found(ada, team, new_team, new_member, new_caller):
    other = await new_team(ada.account_id, name="red")
    someone = await new_member(ada.account_id, other)
    caller = await new_caller(account_id=ada.account_id, created_by=await new_member(ada.account_id, team))
    for path in (
        f"/v1/teams/{other}/policy",
        f"/v1/teams/{TeamId.new()}/policy",
        "/v1/teams/nonsense/policy",
        f"/v1/members/{someone}/policy",
        f"/v1/members/{UserId.new()}/policy",
        f"/v1/api-keys/{ada.key_id}/policy",
        f"/v1/api-keys/{ApiKeyId.new()}/policy",
    ):
        assert (await caller.get(path)).status_code == 404, path
    checked = await caller.post(f"/v1/teams/{other}/policy/check", {"family": "rtx-4090"})
    assert checked.status_code == 404


async def test_another_accounts_policies_are_not_found(ada, team, new_caller):
    stranger = await new_caller()
    for path in (f"/v1/teams/{team}/policy", f"/v1/api-keys/{ada.key_id}/policy"):
        assert (await stranger.get(path)).status_code == 404
        assert (await stranger.http.put(path, json={})).status_code == 404


async def test_a_dry_run_says_what_the_decision_would_be(ada, team):
    async def check(**wish):
        answer = await ada.post(f"/v1/teams/{team}/policy/check", {"family": "rtx-4090"} | wish)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert await check() == {
        "object": "policy_verdict", "allowed": True, "reason": "OK", "code": None, "binding_limit": None, "until": None,
    }  # fmt: skip
    assert (await check(family="h100-80gb"))["reason"] == "GPU h100-80gb not in team whitelist"
    dear = await check(price_per_hour="10.01")
    assert (dear["allowed"], dear["code"], dear["until"]) == (False, "budget_exceeded", "2026-03-01T18:30:00.000Z")
    assert (await check(price_per_hour="10.01", max_spend="10"))["allowed"]
    nowhere = await check(region=["AQ"])
    assert (nowhere["code"], nowhere["reason"]) == ("no_matching_listings", "No offers matching policy constraints")
    for _ in range(2):
        await ada.rent(family="rtx-4090", team_id=team)
    full = await check()
    assert full["reason"] == "Instance limit reached (2/2)"
    assert full["binding_limit"] == {
        "subject": team, "limit": "max_instances", "value": "2", "used": "2", "asked": "1",
    }  # fmt: skip
    for_nobody = await ada.post("/v1/account/policy/check", {"family": "h100-80gb"})
    assert for_nobody.json()["allowed"]


async def test_a_keys_own_limit_is_shown_and_asked(ada, new_caller):
    limited = await new_caller(account_id=ada.account_id, limit=SpendLimit(500_000, "weekly"))
    await limited.rent(family="rtx-4090")
    told = (await ada.get(f"/v1/api-keys/{limited.key_id}/policy")).json()
    assert told["usage"]["budgets"] == [{
        "name": "limit", "amount": "0.50", "spent": "0.00", "held": "0.364", "left": "0.136",
        "since": "2026-02-23T00:00:00.000Z", "until": "2026-03-02T00:00:00.000Z",
    }]  # fmt: skip
    verdict = (await limited.post("/v1/account/policy/check", {"family": "rtx-4090"})).json()
    assert (verdict["code"], verdict["binding_limit"]["limit"]) == ("key_limit_exceeded", "limit")
