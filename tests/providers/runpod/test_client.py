"""What RunPod's answers mean, each literally as its protocol has them."""

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
from app.providers.runpod.client import BURSTS, PACE

OFFER = "SECURE:US-KS-2:1:NVIDIA L4"
CREATE = ("POST", "/v2/pods")
SHOW = ("GET", "/v2/pods/abc")
DELETE = ("DELETE", "/v2/pods/abc")
ACTION = ("POST", "/v2/pods/abc/action")
LIST = ("GET", "/v2/pods")
QUOTAS = {60: 60, 3600: 3000}
SOLD = "There are no longer any instances available with the requested specifications. Please refresh and try again."
TAKEN = "There are not enough free GPUs on the host machine to start this pod."
UNKNOWN_PROPERTY = ["$: additional properties 'x' not allowed"]


def says(status: int, detail: str = "words", **more: object) -> httpx.Response:
    headers = {"Content-Type": "application/problem+json"}
    return httpx.Response(status, json={"title": "t", "status": status, "detail": detail, **more}, headers=headers)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (says(400, SOLD), NoCapacity),
        (says(400, "there are no longer any instances available with enough disk space"), NoCapacity),
        (says(400, "exactly one of gpu or cpu must be set"), Rejected),
        (says(400, "Your balance is too low. Please add credits to your account."), QuotaExceeded),
        (says(402, "Insufficient balance."), QuotaExceeded),
        (says(401, "missing bearer token"), Unauthorized),
        (says(403, "access denied"), Unauthorized),
        (says(403, "your account cannot access the requested pool"), NoCapacity),
        (says(404, "GPU type not found"), Rejected),
        (says(422, "Request validation failed.", errors=UNKNOWN_PROPERTY), Rejected),
        (says(429, "rate limit exceeded for the minute window"), RateLimited),
        (httpx.Response(429, text="slow down"), RateLimited),
        (says(500, "Something went wrong."), OutcomeUnknown),
        (says(500, SOLD), OutcomeUnknown),
        (says(503), OutcomeUnknown),
        (httpx.Response(504, text="<html>"), OutcomeUnknown),
        (httpx.Response(408), OutcomeUnknown),
        (httpx.Response(201, json={}), OutcomeUnknown),
        (httpx.Response(201, json={"id": 5}), OutcomeUnknown),
        (httpx.Response(201, text="<html>"), OutcomeUnknown),
        (httpx.ReadTimeout("slow"), OutcomeUnknown),
        (httpx.RemoteProtocolError("reset"), OutcomeUnknown),
        (httpx.ConnectTimeout("slow"), Unavailable),
    ],
)
async def test_answers_to_a_create(cloud, runpod, order, answer, error):
    cloud.on(*CREATE, answer)
    with pytest.raises(error) as caught:
        await runpod.create(order(OFFER))
    assert type(caught.value) is error
    assert cloud.count(*CREATE) == 1


async def test_a_broken_schema_names_the_property(cloud, runpod, order):
    cloud.on(*CREATE, says(422, "Request validation failed.", errors=UNKNOWN_PROPERTY))
    with pytest.raises(Rejected, match="additional properties 'x' not allowed"):
        await runpod.create(order(OFFER))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "12"}, 12),
        ({"Retry-After": "1812"}, 60),
        ({"RateLimit": '"minute";r=0;t=7, "hour";r=2800;t=1812, "day";r=49500;t=45012'}, 7),
        ({"RateLimit": '"minute";r=0;t=7, "hour";r=0;t=1812'}, 60),
        ({"RateLimit": "nonsense"}, 4.0),
        ({}, 4.0),
    ],
)
async def test_too_many_calls_tell_how_long_to_wait(cloud, public_key, order, headers, seconds):
    from app.providers import RunpodProvider

    cloud.on(*CREATE, httpx.Response(429, json={"detail": "rate limit exceeded"}, headers=headers))
    async with httpx.AsyncClient(transport=httpx.MockTransport(cloud)) as client:
        provider = RunpodProvider(api_key="k", base_url="http://runpod.test", client=client)
        with pytest.raises(RateLimited) as caught:
            await provider.create(order(OFFER))
    assert caught.value.retry_after_seconds == pytest.approx(seconds, rel=0.2)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (says(404, "pod not found"), Gone),
        (httpx.Response(404, text="<html>"), Unavailable),
        (httpx.Response(404), Unavailable),
        (says(401), Unauthorized),
        (says(403, "access denied"), Unauthorized),
        (says(402), Unauthorized),
        (says(422), Unavailable),
        (says(429), RateLimited),
        (says(500), Unavailable),
        (httpx.Response(200, json={"id": "abc", "name": "own-1", "status": "TERMINATED"}), Gone),
        (httpx.Response(200, json={"id": "abc", "name": "own-1"}), Unavailable),
        (httpx.Response(200, json=[]), Unavailable),
        (httpx.Response(204), Unavailable),
    ],
)
async def test_answers_to_a_look(cloud, runpod, answer, error):
    cloud.on(*SHOW, answer)
    with pytest.raises(error) as caught:
        await runpod.get_machine("abc")
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(204), None),
        (says(404, "pod not found"), None),
        (httpx.Response(404, text="<html>"), OutcomeUnknown),
        (says(409, "Pod belongs to a cluster and cannot be terminated via the pod endpoints."), NotYet),
        (says(500, "Something went wrong."), OutcomeUnknown),
        (says(429), RateLimited),
        (says(401), Unauthorized),
        (httpx.ReadTimeout("slow"), OutcomeUnknown),
        (httpx.ConnectError("refused"), Unavailable),
    ],
)
async def test_answers_to_a_destroy(cloud, runpod, answer, error):
    cloud.on(*DELETE, answer)
    if error is None:
        await runpod.destroy("abc")
    else:
        with pytest.raises(error) as caught:
            await runpod.destroy("abc")
        assert type(caught.value) is error
    assert cloud.count(*DELETE) == 1


def pod(status: str, gpus: int | None = 1, runtime: object = None) -> httpx.Response:
    row = {"id": "abc", "name": "own-1", "status": status, "runtime": runtime}
    return httpx.Response(200, json=row if gpus is None else {**row, "gpu": {"id": "NVIDIA L4", "count": gpus}})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (pod("EXITED"), None),
        (says(404, "pod not found"), Gone),
        (says(500), OutcomeUnknown),
        (says(429), RateLimited),
        (says(422), OutcomeUnknown),
    ],
)
async def test_answers_to_a_stop(cloud, runpod, answer, error):
    cloud.on(*ACTION, answer)
    if error is None:
        await runpod.stop("abc")
    else:
        with pytest.raises(error):
            await runpod.stop("abc")
    assert cloud.bodies(*ACTION) == [{"action": "stop"}]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (pod("STARTING"), None),
        (pod("STARTING", gpus=0), NoCapacity),
        (pod("STARTING", gpus=None), NoCapacity),
        (says(400, TAKEN), NoCapacity),
        (says(400, SOLD), NoCapacity),
        (says(402), QuotaExceeded),
        (says(404, "pod not found"), Gone),
        (says(500), OutcomeUnknown),
        (httpx.ReadTimeout("slow"), OutcomeUnknown),
    ],
)
async def test_answers_to_a_resume(cloud, runpod, answer, error):
    cloud.on(*ACTION, answer)
    if error is None:
        await runpod.resume("abc")
    else:
        with pytest.raises(error):
            await runpod.resume("abc")
    assert cloud.bodies(*ACTION) == [{"action": "start"}]


@pytest.mark.parametrize(
    ("deed", "status", "done"),
    [
        ("stop", "EXITED", True),
        ("stop", "ERROR", False),
        ("stop", "PROVISIONING", False),
        ("resume", "STARTING", True),
        ("resume", "RUNNING", True),
        ("resume", "EXITED", False),
    ],
)
async def test_what_is_so_already_is_done(cloud, runpod, deed, status, done):
    cloud.on(*ACTION, says(409, "Action not valid for current pod status"))
    cloud.on(*SHOW, pod(status))
    if done:
        await getattr(runpod, deed)("abc")
    else:
        with pytest.raises(NotYet):
            await getattr(runpod, deed)("abc")


async def test_ids_stay_in_their_place_in_a_path(cloud, runpod):
    with pytest.raises(Unavailable):
        await runpod.get_machine("../account/ssh-keys?x=1")
    assert cloud.requests[-1].url.raw_path == b"/v2/pods/..%2Faccount%2Fssh-keys%3Fx%3D1"


@pytest.mark.parametrize("body", [{"pods": None}, {"pods": "x"}, [], {"pods": [5]}, {"pods": [{"name": "own-1"}]}])
async def test_a_list_of_another_shape_is_unavailable(cloud, runpod, body):
    cloud.on(*LIST, httpx.Response(200, json=body))
    with pytest.raises(Unavailable):
        await runpod.list_machines("own-")


def test_at_its_own_pace_an_account_stays_within_its_quotas():
    for seconds, calls in QUOTAS.items():
        assert sum(seconds / interval + BURSTS.get(each, 1) for each, interval in PACE.items()) <= calls
