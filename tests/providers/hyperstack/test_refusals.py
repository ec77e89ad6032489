"""What Hyperstack's answers mean, each literally as its protocol has them."""

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
    Unsupported,
)

CREATE = ("POST", "/v1/core/virtual-machines")
ONE = "/v1/core/virtual-machines/7"
OFFER = "n3-H100x1:CANADA-1"


def says(status: int, reason: str, message: str = "words") -> httpx.Response:
    return httpx.Response(status, json={"status": False, "message": message, "error_reason": reason})


def bad(message: str) -> httpx.Response:
    return says(400, "bad_request", message)


def shows(status: str) -> httpx.Response:
    return httpx.Response(200, json={"status": True, "instance": {"id": 7, "name": "own-1", "status": status}})


DONE = httpx.Response(200, json={"status": True, "message": "ok"})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (bad("Insufficient balance to create the resource"), QuotaExceeded),
        (bad("You have insufficient credit."), QuotaExceeded),
        (bad("VM quota exceeded for this organization"), QuotaExceeded),
        (bad("The flavor is out of stock"), NoCapacity),
        (bad("Not enough stock available for flavor n3-H100x1"), NoCapacity),
        (bad("Insufficient capacity in CANADA-1"), NoCapacity),
        (bad("Invalid image provided"), Rejected),
        (says(404, "not_found"), Rejected),
        (says(405, "not_allowed"), Rejected),
        (says(401, "unauthorized"), Unauthorized),
        (says(403, "forbidden"), Unauthorized),
        (says(402, "payment_required"), QuotaExceeded),
        (httpx.Response(402, text="pay"), QuotaExceeded),
        (says(429, "too_many"), RateLimited),
        (httpx.Response(429, text="slow down"), RateLimited),
        (says(500, "server_error"), OutcomeUnknown),
        (httpx.Response(500, json={"message": "Internal Server Error"}), OutcomeUnknown),
        (httpx.Response(502, text="<html>"), OutcomeUnknown),
        (httpx.Response(200, json={"status": False, "message": "no"}), OutcomeUnknown),
        (httpx.Response(200, json={"status": True, "instances": []}), OutcomeUnknown),
        (httpx.Response(200, json={"status": True}), OutcomeUnknown),
        (httpx.Response(418, text="teapot"), Rejected),
    ],
)
async def test_answers_to_a_create(cloud, hyperstack, order, answer, error):
    cloud.on(*CREATE, answer)
    with pytest.raises(error):
        await hyperstack.create(order(OFFER))
    assert cloud.count(*CREATE) == 1


@pytest.mark.parametrize(("header", "seconds"), [(None, 30), ("7", 7), ("0", 0)])
async def test_who_is_too_fast_waits_for_the_rest_of_the_minute(cloud, hyperstack, order, header, seconds):
    cloud.on(*CREATE, httpx.Response(429, headers={"Retry-After": header} if header else {}))
    with pytest.raises(RateLimited) as caught:
        await hyperstack.create(order(OFFER))
    assert caught.value.retry_after_seconds == seconds


POWER = [
    ("stop", "ACTIVE", "stop"),
    ("hibernate", "ACTIVE", "hibernate"),
    ("resume", "HIBERNATED", "hibernate-restore"),
]


@pytest.mark.parametrize(("deed", "before", "path"), [*POWER, ("resume", "SHUTOFF", "start")])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (bad("Virtual machine is in BUILD state and cannot be changed"), NotYet),
        (bad("whatever"), NotYet),
        (says(405, "not_allowed"), NotYet),
        (says(409, "conflict"), NotYet),
        (says(404, "not_found"), Gone),
        (says(401, "unauthorized"), Unauthorized),
        (says(429, "too_many"), RateLimited),
        (says(500, "server_error"), OutcomeUnknown),
        (httpx.ReadTimeout("silence"), OutcomeUnknown),
        (httpx.ConnectTimeout("nobody"), Unavailable),
        (httpx.Response(200, text="<html>"), OutcomeUnknown),
    ],
)
async def test_answers_to_a_deed_which_is_never_repeated(cloud, hyperstack, deed, before, path, answer, error):
    cloud.on("GET", ONE, shows(before))
    cloud.on("GET", f"{ONE}/{path}", answer)
    with pytest.raises(error):
        await getattr(hyperstack, deed)("7")
    assert cloud.count("GET", f"{ONE}/{path}") == 1


async def test_a_restore_for_which_nothing_is_left_is_no_capacity(cloud, hyperstack):
    cloud.on("GET", ONE, shows("HIBERNATED"))
    cloud.on("GET", f"{ONE}/hibernate-restore", bad("Not enough stock available to restore"))
    with pytest.raises(NoCapacity):
        await hyperstack.resume("7")


async def test_a_flavor_that_can_not_hibernate_is_unsupported(cloud, hyperstack):
    cloud.on("GET", f"{ONE}/hibernate", bad("This flavor does not support hibernation"))
    with pytest.raises(Unsupported):
        await hyperstack.hibernate("7")


@pytest.mark.parametrize(
    ("status", "error"), [("HIBERNATING", NotYet), ("STOPPING", NotYet), ("ERROR", NotYet), ("DELETING", Gone)]
)
async def test_a_resume_needs_something_to_resume(cloud, hyperstack, status, error):
    cloud.on("GET", ONE, shows(status))
    with pytest.raises(error):
        await hyperstack.resume("7")
    assert len(cloud.requests) == 1


@pytest.mark.parametrize("status", ["ACTIVE", "RESTORING", "STARTING"])
async def test_what_runs_or_is_about_to_is_left_alone(cloud, hyperstack, status):
    cloud.on("GET", ONE, shows(status))
    await hyperstack.resume("7")
    assert len(cloud.requests) == 1


@pytest.mark.parametrize("answer", [DONE, says(404, "not_found")])
async def test_a_delete_succeeds_also_where_nothing_is_left(cloud, hyperstack, answer):
    cloud.on("DELETE", ONE, answer)
    await hyperstack.destroy("7")
    assert cloud.count("DELETE", ONE) == 1


@pytest.mark.parametrize("now", [shows("DELETING"), shows("DELETED"), says(404, "not_found")])
async def test_a_delete_that_is_refused_since_it_has_begun_succeeds(cloud, hyperstack, now):
    cloud.on("DELETE", ONE, bad("Virtual machine is in DELETING state"))
    cloud.on("GET", ONE, now)
    await hyperstack.destroy("7")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (bad("Virtual machine is in BUILD state"), NotYet),
        (says(500, "server_error"), OutcomeUnknown),
        (says(401, "unauthorized"), Unauthorized),
        (httpx.Response(200, text="<html>"), OutcomeUnknown),
    ],
)
async def test_answers_to_a_delete_that_did_not_succeed(cloud, hyperstack, answer, error):
    cloud.on("DELETE", ONE, answer)
    cloud.on("GET", ONE, shows("BUILD"))
    with pytest.raises(error):
        await hyperstack.destroy("7")


@pytest.mark.parametrize("answer", [says(404, "not_found"), shows("DELETED")])
async def test_what_is_deleted_is_gone(cloud, hyperstack, answer):
    cloud.on("GET", ONE, answer)
    with pytest.raises(Gone):
        await hyperstack.get_machine("7")
