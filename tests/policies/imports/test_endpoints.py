"""Imports over HTTP: shown, then applied, all or nothing, with no credential kept anywhere."""

from __future__ import annotations

import json

import pytest

from app import tenancy
from app.kit.db import driver
from app.policies.imports.endpoints import router

TABLE = '[teams.vision]\ngpu_whitelist = ["RTX 4090", "H100"]\nmax_instances = 4\ndaily_budget = 50\n'
CLOUD = '[providers.vast]\napi_key = "canary-0123456789"\nmax_$/hour = 0.5\n[budget]\ntotal_$/month = 500\n'


@pytest.fixture
def app(app):
    app.include_router(router)
    return app


@pytest.fixture
async def caller(new_caller):
    return await new_caller()


async def send(caller, text, *, shape="team-table", **more):
    return await caller.http.post("/v1/policies/import", json={"format": shape, "text": text, **more})


async def test_a_dry_run_says_what_would_change_and_changes_nothing(caller, new_team):
    team = await new_team(caller.account_id)
    answer = await send(caller, TABLE)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["applied"], body["warnings"]) == (False, [])
    [plan] = body["policies"]
    assert (plan["subject"], plan["team"], plan["version"]) == (team, "vision", 0)
    assert plan["changes"][2] == {"field": "daily_budget", "before": "10.00", "after": "50.00", "line": 4}
    policy = (await caller.http.get(f"/v1/teams/{team}/policy")).json()
    assert (policy["version"], policy["daily_budget"]) == (0, "10.00")


async def test_what_was_shown_is_applied_and_applying_it_again_changes_nothing(caller, new_team):
    team = await new_team(caller.account_id)
    seen = (await send(caller, TABLE)).json()["policies"][0]
    answer = await send(caller, TABLE, dry_run=False, versions={team: seen["version"]})
    assert (answer.status_code, answer.json()["applied"]) == (200, True)
    policy = (await caller.http.get(f"/v1/teams/{team}/policy")).json()
    assert (policy["version"], policy["daily_budget"], policy["max_instances"]) == (1, "50.00", 4)
    assert policy["gpu_whitelist"] == ["rtx-4090", "h100-80gb"]
    again = await send(caller, TABLE, dry_run=False)
    assert again.json()["policies"][0]["changes"] == []
    assert (await caller.http.get(f"/v1/teams/{team}/policy")).json()["version"] == 1


async def test_a_policy_that_changed_since_it_was_shown_stops_everything(caller, new_team):
    team = await new_team(caller.account_id)
    answer = await send(caller, TABLE, dry_run=False, versions={team: 7})
    assert (answer.status_code, answer.json()["code"]) == (412, "etag_mismatch")
    assert (await caller.http.get(f"/v1/teams/{team}/policy")).json()["version"] == 0


async def test_a_team_that_does_not_exist_is_told_refused_or_made(caller, worker_db, new_team):
    team = await new_team(caller.account_id)
    both = TABLE + "[teams.speech]\nmax_instances = 1\n"
    shown = (await send(caller, both)).json()
    assert [notice["code"] for notice in shown["warnings"]] == ["unknown_team"]
    refused = await send(caller, both, dry_run=False)
    assert refused.status_code == 422
    assert (await caller.http.get(f"/v1/teams/{team}/policy")).json()["version"] == 0, "all or nothing"
    made = await send(caller, both, dry_run=False, create_teams=True)
    assert made.status_code == 200, made.text
    async with worker_db.begin_unscoped() as session:
        teams = await tenancy.list_teams(session, account_id=caller.account_id)
    assert [found.name for found in teams] == ["speech", "vision"]


async def test_a_cloud_file_sets_the_accounts_policy_and_its_key_is_kept_nowhere(caller, worker_db):
    answer = await send(caller, CLOUD, shape="cloud-toml", dry_run=False)
    assert answer.status_code == 200, answer.text
    assert "canary" not in answer.text
    assert {"line": 2, "code": "secret_left_out"}.items() <= answer.json()["warnings"][0].items()
    policy = (await caller.http.get("/v1/account/policy")).json()
    assert (policy["monthly_budget"], policy["max_price_per_hour"]) == ("500.00", "0.50")
    assert policy["allowed_providers"] == ["vast"]
    await send(caller, CLOUD, shape="cloud-toml")
    async with worker_db.begin_unscoped() as session:
        for table in ("policies", "audit_entries", "events", "idempotency_keys"):
            rows = await driver(session).fetch(
                f"SELECT to_jsonb(t)::text FROM {table} t WHERE account_id = $1",
                caller.account_id,
            )
            assert "canary" not in json.dumps([row[0] for row in rows])


async def test_nothing_to_apply_is_refused_and_shown_as_nothing(caller):
    assert (await send(caller, "hello there\n", dry_run=False)).status_code == 422
    shown = await send(caller, "hello there\n")
    assert (shown.status_code, shown.json()["policies"]) == (200, [])
    assert shown.json()["warnings"][0]["line"] == 1


async def test_only_who_may_change_policies_imports(new_caller):
    caller = await new_caller(scopes={"teams:read"})
    assert (await send(caller, TABLE)).status_code == 403
