"""What Lambda's answers mean, each literally as its protocol has them."""

from __future__ import annotations

import httpx
import pytest

from app.providers import (
    Gone,
    NoCapacity,
    NotYet,
    OutcomeUnknown,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
)

LAUNCH = ("POST", "/api/v1/instance-operations/launch")
TERMINATE = ("POST", "/api/v1/instance-operations/terminate")
SHOW = ("GET", "/api/v1/instances/abc")


def says(status: int, code: str, message: str = "words") -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": message}})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (says(400, "instance-operations/launch/insufficient-capacity"), NoCapacity),
        (says(400, "instance-operations/launch/file-system-in-wrong-region"), Rejected),
        (says(400, "global/invalid-parameters"), Rejected),
        (says(404, "global/object-does-not-exist"), Rejected),
        (says(400, "global/something-new"), Rejected),
        (says(400, "global/quota-exceeded"), QuotaExceeded),
        (says(403, "global/account-inactive"), QuotaExceeded),
        (says(401, "global/invalid-api-key"), Unauthorized),
        (httpx.Response(403, text="<html>"), Unauthorized),
        (says(429, "global/too-many-requests"), RateLimited),
        (httpx.Response(429, text="slow down"), RateLimited),
        (says(500, "global/internal-error"), OutcomeUnknown),
        (says(503, "provider/internal-unavailable"), OutcomeUnknown),
        (says(500, "provider/quota-exceeded"), OutcomeUnknown),
        (httpx.Response(504, text="<html>"), OutcomeUnknown),
        (httpx.Response(200, json={"data": {}}), OutcomeUnknown),
        (httpx.Response(200, json={"data": {"instance_ids": []}}), OutcomeUnknown),
        (httpx.Response(200, text="<html>"), OutcomeUnknown),
        (httpx.ReadTimeout("slow"), OutcomeUnknown),
        (httpx.RemoteProtocolError("reset"), OutcomeUnknown),
        (httpx.ConnectTimeout("slow"), Unavailable),
    ],
)
async def test_answers_to_a_launch(cloud, lambda_, order, answer, error):
    cloud.on(*LAUNCH, answer)
    with pytest.raises(error) as caught:
        await lambda_.create(order("gpu_1x_h100_pcie:us-east-1"))
    assert type(caught.value) is error
    assert cloud.count(*LAUNCH) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (says(404, "global/object-does-not-exist"), Gone),
        (httpx.Response(404, text="<html>"), Unavailable),
        (says(401, "global/invalid-api-key"), Unauthorized),
        (says(403, "global/account-inactive"), Unauthorized),
        (says(500, "global/internal-error"), Unavailable),
        (httpx.Response(200, json={"data": {"id": "abc", "status": "terminated"}}), Gone),
        (httpx.Response(200, json={"data": None}), Unavailable),
        (httpx.Response(200, json={"data": {"id": "abc"}}), Unavailable),
    ],
)
async def test_answers_to_a_look_at_one_instance(cloud, lambda_, answer, error):
    cloud.on(*SHOW, answer)
    with pytest.raises(error) as caught:
        await lambda_.get_machine("abc")
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"data": {"terminated_instances": [{"id": "abc", "status": "terminating"}]}}),
        says(404, "global/object-does-not-exist"),
    ],
)
async def test_a_terminate_succeeds_also_where_nothing_is_left(cloud, lambda_, answer):
    cloud.on(*TERMINATE, answer)
    await lambda_.destroy("abc")
    assert cloud.bodies(*TERMINATE) == [{"instance_ids": ["abc"]}]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(404, text="<html>"), OutcomeUnknown),
        (says(400, "global/invalid-parameters"), OutcomeUnknown),
        (says(409, "global/busy"), NotYet),
        (says(500, "global/internal-error"), OutcomeUnknown),
        (httpx.Response(200, json={"data": {}}), OutcomeUnknown),
    ],
)
async def test_answers_to_a_terminate_that_did_not_succeed(cloud, lambda_, answer, error):
    cloud.on(*TERMINATE, answer)
    with pytest.raises(error):
        await lambda_.destroy("abc")
