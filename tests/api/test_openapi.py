"""The description is complete: whoever reads only it knows what can be asked and what can be answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .operations import PROBLEM, PUBLIC
from .owned import BODY_IDS

ROOT = Path(__file__).resolve().parents[2]
SILENT = frozenset({"receive_stripe_event", "export_audit"})
"""Operations whose success says nothing more, or says it in lines."""
FREE = frozenset(
    {
        "refresh_catalog",
        "rank_placements",
        "stop_rental",
        "report_rental",
        "preview_auto_topup",
        "create_portal_session",
        "receive_stripe_event",
        "accept_invitation",
        "leave_account",
        "leave_team",
        "transfer_account",
        "approve_policy_request",
        "check_account_policy",
        "check_team_policy",
        "deny_policy_request",
        "import_policies",
    }
)
"""Posts that neither spend nor keep anything that a repetition would double."""


@pytest.fixture(scope="module")
def document(world):
    return json.loads(json.dumps(world.app.openapi()))


def codes(operation, status):
    return set(operation.spec["responses"].get(str(status), {}).get("content", {}).get(PROBLEM, {}).get("examples", {}))


def test_every_operation_has_an_id_of_its_own_a_tag_and_a_text(world) -> None:
    ids = [operation.id for operation in world.operations]
    assert len(ids) == len(set(ids))
    for operation in world.operations:
        assert operation.id.replace("_", "").isalpha(), operation.id
        assert operation.spec["tags"], operation.id
        assert operation.spec["description"], operation.id
        assert 10 <= len(operation.spec["summary"]) <= 120, operation.spec["summary"]
    summaries = [operation.spec["summary"] for operation in world.operations]
    assert len(summaries) == len(set(summaries))


def test_every_operation_names_the_errors_it_can_give(world) -> None:
    for operation in world.operations:
        assert codes(operation, 422) >= {"validation_failed"}, operation.id
        assert all(codes(operation, status) for status in (500, 503, 504)), operation.id
        if operation.id not in PUBLIC:
            assert codes(operation, 401) == {"unauthorized", "key_expired", "key_disabled"}, operation.id
            assert codes(operation, 403) >= {"scope_missing", "ip_not_allowed", "account_suspended"}, operation.id
            assert codes(operation, 429) == {"rate_limited"}, operation.id
        if operation.owners:
            assert codes(operation, 404) == {"not_found"}, operation.id
        if operation.body is not None:
            assert "malformed_request" in codes(operation, 400), operation.id
            assert all(codes(operation, status) for status in (408, 413, 415)), operation.id
        if any(one["name"] == "cursor" for one in operation.query) and operation.id != "list_rental_attempts":
            assert "invalid_cursor" in codes(operation, 400), operation.id
        assert any(status.startswith("2") for status in operation.spec["responses"])


def test_every_error_shown_is_the_problem_that_is_sent(world, document) -> None:
    required = set(document["components"]["schemas"]["Problem"]["required"])
    for operation in world.operations:
        for status, response in operation.spec["responses"].items():
            for code, example in response.get("content", {}).get(PROBLEM, {}).get("examples", {}).items():
                told = example["value"]
                assert required <= set(told), (operation.id, code)
                assert (told["code"], str(told["status"])) == (code, status)
                assert told["detail"]


def test_every_success_says_what_it_looks_like(world) -> None:
    for operation in world.operations:
        for status, response in operation.spec["responses"].items():
            if status.startswith("2") and status != "204" and operation.id not in SILENT:
                schema = response["content"]["application/json"]["schema"]
                assert schema, operation.id


def test_every_body_has_an_example_and_refuses_what_it_does_not_know(world) -> None:
    for operation in world.operations:
        if operation.body is None:
            continue
        assert operation.body["examples"], operation.id
        assert operation.body["additionalProperties"] is False, operation.id
        assert set(operation.example) <= set(operation.body["properties"])
        assert set(operation.body.get("required", ())) <= set(operation.example), operation.id


async def test_the_examples_are_true(world) -> None:
    for operation in world.operations:
        if operation.body is None or operation.owners or operation.by_person:
            continue
        tenant, body = await world.open(), operation.example
        if needed := BODY_IDS.keys() & body.keys():
            await world.furnish(tenant)
            body |= {name: tenant.has[BODY_IDS[name]][0] for name in needed}
        answer = await tenant.caller.ask(operation.method, operation.path, body)
        assert answer.status in (200, 201, 202), (operation.id, answer.text)


def test_what_spends_or_creates_takes_an_idempotency_key(world) -> None:
    for operation in world.operations:
        names = {one["name"]: one for one in operation.spec.get("parameters", ()) if one["in"] == "header"}
        if operation.method == "POST" and operation.id not in FREE:
            assert names["Idempotency-Key"]["required"], operation.id
            assert {"idempotency_key_missing"} <= codes(operation, 400)
        if "412" in operation.spec["responses"]:
            assert not names["If-Match"]["required"], operation.id


def test_the_committed_description_is_this_one(document) -> None:
    committed = ROOT / "openapi" / "openapi.json"
    if not committed.exists():
        pytest.fail("there is no openapi/openapi.json: make openapi")
    assert json.loads(committed.read_text()) == document, "make openapi"


def test_every_reference_leads_somewhere_and_nothing_is_left_over(document) -> None:
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, f"{name} is used by nothing"
    pending, seen = [document], 0
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                seen += 1
                assert node["$ref"].rpartition("/")[2] in document["components"]["schemas"]
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    assert seen
