from __future__ import annotations

import json

import pytest
import structlog

SECRET_LOOKING = "hg_live_CANARY0000000000000000000000000000000000000000000"


async def test_a_problem_says_all_that_a_caller_needs(client):
    told = await client.get("/v1/nothing-here", headers={"X-Request-Id": "caller-chose-this"})
    assert (told.status_code, told.headers["content-type"]) == (404, "application/problem+json")
    assert told.headers["x-request-id"] == "caller-chose-this"
    document = told.json()
    assert document["request_id"] == "caller-chose-this"
    assert document["code"] == "not_found"
    assert set(document) == {
        "type",
        "title",
        "status",
        "detail",
        "code",
        "retryable",
        "suggestion",
        "errors",
        "request_id",
        "instance",
    }


@pytest.mark.parametrize("sent", ["short", "x" * 65, "with space in it", "a\xe9aaaaaaaaa", SECRET_LOOKING])
async def test_an_ill_formed_request_id_is_replaced(client, sent):
    told = await client.get("/v1/nothing-here", headers={"X-Request-Id": sent.encode("latin-1")})
    assert told.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"name": NaN}', ""),
        (b'{"name": "CANARY", "name": "CANARY"}', ""),
        (b'{"name": "x", "count": 9223372036854775808}', ""),
        (b'{"name": "x", "count": ' + b"[" * 5000 + b"]" * 5000 + b"}", ""),
        (b'{"name": "CANARY\\u0000"}', ""),
        (b'{"name": "CANARY\\ud800"}', ""),
        (b'{"name": "x", "count": true}', "/count"),
        (b'{"name": "x", "count": "5"}', "/count"),
        (b'{"name": "x", "count": 1.5}', "/count"),
        (b'{"name": "x", "account_id": "CANARY"}', "/account_id"),
        (b'{"name": "x", "' + SECRET_LOOKING.encode() + b'": 1}', "/…"),
        (b'{"name": "x", "price": "-1"}', "/price"),
        (b'{"name": "x", "price": 1e2}', "/price"),
        (b'"CANARY"', ""),
        (b"{}", "/name"),
        (b"", ""),
    ],
)
async def test_an_unfit_body_is_told_by_field_and_never_echoed(client, body, pointer):
    told = await client.put("/v1/plain", content=body, headers={"Content-Type": "application/json"})
    assert told.status_code == 422
    document = told.json()
    assert document["code"] == "validation_failed"
    assert document["errors"][0]["pointer"] == pointer
    assert "CANARY" not in told.text


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"{'a': 1}"])
async def test_a_body_that_is_no_json_is_malformed(client, body):
    told = await client.put("/v1/plain", content=body, headers={"Content-Type": "application/json"})
    assert (told.status_code, told.json()["code"]) == (400, "malformed_request")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_a_body_of_another_kind_is_refused(client, headers):
    told = await client.put("/v1/plain", content=b'{"name": "x"}', headers=headers)
    assert (told.status_code, told.json()["code"]) == (415, "unsupported_media_type")


async def test_utf8_may_be_named(client):
    headers = {"Content-Type": 'Application/JSON; charset="UTF-8"'}
    assert (await client.put("/v1/plain", content='{"name": "ż"}'.encode(), headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/things", "GET, POST"),
        ("POST", "/v1/things/x", "GET, PATCH"),
        ("OPTIONS", "/v1/plain", "PUT"),
        ("BREW", "/v1/plain", "PUT"),
    ],
)
async def test_a_wrong_method_is_told_every_right_one(client, method, path, allow):
    told = await client.request(method, path)
    assert (told.status_code, told.headers["allow"], told.json()["code"]) == (405, allow, "method_not_allowed")


async def test_a_slash_too_many_is_unknown_and_not_moved(client):
    assert (await client.get("/v1/things/")).status_code == 404


async def test_an_error_that_nobody_expected_is_told_and_logged_without_its_words(client):
    with structlog.testing.capture_logs() as logs:
        told = await client.get("/v1/things/broken")
    assert (told.status_code, told.json()["code"]) == (500, "internal")
    assert told.headers["x-request-id"] == told.json()["request_id"]
    failed = next(entry for entry in logs if entry["event"] == "request_failed")
    assert failed["error"] == ["ZeroDivisionError"]
    assert failed["request_id"] == told.json()["request_id"]
    assert "canary" not in json.dumps(logs) + told.text


async def test_a_query_that_is_not_in_the_list_is_refused(db_client):
    for query in ("limit=0", "limit=201", "limit=many", "balance=5"):
        told = await db_client.get(f"/v1/things?{query}")
        assert told.status_code == 422, query
        assert told.json()["errors"][0]["pointer"].startswith("query:/")


async def test_a_change_of_another_version_is_refused(client):
    tag = (await client.get("/v1/things/x")).headers["etag"]
    for header, status in ((None, 200), (tag, 200), (f'"old", {tag}', 200), ("*", 200), ('"old"', 412), ("", 412)):
        headers = {} if header is None else {"If-Match": header}
        assert (await client.patch("/v1/things/x", headers=headers)).status_code == status
    assert (await client.patch("/v1/things/x", headers={"If-Match": '"old"'})).json()["code"] == "etag_mismatch"


def test_the_openapi_document_names_every_error_of_the_edge(state, make_app):
    document = make_app(state).openapi()
    operation = document["paths"]["/v1/things"]["post"]
    assert {"201", "400", "401", "403", "404", "408", "413", "415", "422", "429", "500", "503", "504"} == set(
        operation["responses"]
    )
    assert operation["security"] == [{"apiKey": ["rentals:write"]}, {"session": []}]
    assert "HTTPValidationError" not in json.dumps(document)
    unauthorized = operation["responses"]["401"]["content"]["application/problem+json"]
    assert set(unauthorized["examples"]) == {"unauthorized", "key_expired", "key_disabled"}
