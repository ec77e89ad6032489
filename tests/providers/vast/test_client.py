"""What Vast.ai's answers mean, each literally as its protocol has them."""

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

CREATE = ("PUT", "/api/v0/asks/1001/")
SHOW = ("GET", "/api/v0/instances/555/")
DESTROY = ("DELETE", "/api/v0/instances/555/")
LIST = ("GET", "/api/v1/instances/")
NO_ASK_404 = {
    "success": False,
    "error": "invalid_args",
    "msg": "error 404/3603: no_such_ask Instance type by id 1001 is not available.",
}
NO_ASK_410 = {"success": False, "error": "no_such_ask", "msg": "error 410/3907: no_such_ask"}


def says(status: int, error: str, msg: str = "", **more: object) -> httpx.Response:
    return httpx.Response(status, json={"success": False, "error": error, "msg": msg, **more})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(404, json=NO_ASK_404), NoCapacity),
        (httpx.Response(410, json=NO_ASK_410), NoCapacity),
        (httpx.Response(410, text="gone"), NoCapacity),
        (says(400, "invalid_args", "bad image"), Rejected),
        (says(400, "invalid_price", "price must be …", ask_id=1001), Rejected),
        (says(400, "no_ssh_key_for_vm"), Rejected),
        (says(400, "missing_billing"), QuotaExceeded),
        (says(403, "missing_billing"), QuotaExceeded),
        (says(400, "insufficient_credit", "Your account lacks credit; see the billing page."), QuotaExceeded),
        (says(403, "auth_error", "This action requires login."), Unauthorized),
        (says(401, "auth_error", "Invalid user key"), Unauthorized),
        (says(404, "auth_error", "Invalid user key"), Unauthorized),
        (httpx.Response(429, text="API requests too frequent endpoint threshold=4.5"), RateLimited),
        (httpx.Response(429, json={"detail": "API requests too frequent"}), RateLimited),
        (httpx.Response(500, json={"success": False, "error": "internal"}), OutcomeUnknown),
        (httpx.Response(502, text="<html>"), OutcomeUnknown),
        (httpx.Response(200, json={"success": True}), OutcomeUnknown),
        (httpx.Response(200, json={"success": True, "new_contract": "12345"}), OutcomeUnknown),
        (httpx.Response(200, text="<html>"), OutcomeUnknown),
        (says(200, "invalid_args"), Rejected),
        (httpx.Response(200, json={"success": False}), OutcomeUnknown),
        (httpx.ReadTimeout("slow"), OutcomeUnknown),
        (httpx.ReadError("reset"), OutcomeUnknown),
        (httpx.ConnectError("refused"), Unavailable),
    ],
)
async def test_answers_to_a_create(cloud, vast, order, answer, error):
    cloud.on(*CREATE, answer)
    with pytest.raises(error) as caught:
        await vast.create(order())
    assert type(caught.value) is error
    assert caught.value.machine_id is None
    assert cloud.count(*CREATE) == 1


@pytest.mark.parametrize("status", [200, 400, 403, 404, 410, 429, 500, 503])
async def test_an_error_that_names_a_contract_hands_it_on(cloud, vast, order, status):
    cloud.on(*CREATE, says(status, "invalid_price", "bid too low", new_contract=777))
    with pytest.raises((Rejected, NoCapacity, OutcomeUnknown, RateLimited)) as caught:
        await vast.create(order())
    assert caught.value.machine_id == "777"


async def test_a_floor_above_our_bid_is_no_capacity(cloud, vast, order):
    cloud.on(*CREATE, says(400, "invalid_price", new_contract=777))
    with pytest.raises(NoCapacity) as caught:
        await vast.create(order(spot=True, bid_micros_per_hour=165_000))
    assert caught.value.machine_id == "777"


async def test_a_create_that_came_too_early_waits_for_the_penalty(cloud, vast, order):
    cloud.on(*CREATE, httpx.Response(429, text="API requests too frequent endpoint threshold=4.5"))
    with pytest.raises(RateLimited) as caught:
        await vast.create(order())
    assert caught.value.retry_after_seconds == 12
    assert "too frequent" in caught.value.message


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(200, json={"instances": None}), Gone),
        (says(404, "no_such_instance"), Gone),
        (httpx.Response(404, text="<html>"), Unavailable),
        (httpx.Response(200, json={}), Unavailable),
        (httpx.Response(200, json={"instances": []}), Unavailable),
        (says(401, "auth_error"), Unauthorized),
        (says(400, "missing_billing"), Unauthorized),
        (httpx.Response(429, text="API requests too frequent endpoint threshold=2.0"), RateLimited),
        (httpx.Response(503), Unavailable),
    ],
)
async def test_answers_to_a_look_at_one_instance(cloud, vast, answer, error):
    cloud.on(*SHOW, answer)
    with pytest.raises(error) as caught:
        await vast.get_machine("555")
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"success": True, "msg": "destroyed"}),
        says(404, "no_such_instance", "Instance 555 not found."),
        says(200, "no_such_instance"),
    ],
)
async def test_a_destroy_succeeds_also_where_nothing_is_left(cloud, vast, answer):
    cloud.on(*DESTROY, answer)
    await vast.destroy("555")
    assert cloud.bodies(*DESTROY) == [{}]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(404, text="<html>"), OutcomeUnknown),
        (httpx.Response(404, json={"success": False, "error": "auth_error", "msg": "Invalid user key"}), Unauthorized),
        (httpx.Response(409, json={"success": False, "error": "busy"}), NotYet),
        (httpx.Response(500), OutcomeUnknown),
        (httpx.Response(200, text=""), OutcomeUnknown),
        (says(200, "busy"), OutcomeUnknown),
    ],
)
async def test_answers_to_a_destroy_that_did_not_succeed(cloud, vast, answer, error):
    cloud.on(*DESTROY, answer)
    with pytest.raises(error):
        await vast.destroy("555")


def page(ids: range, token: str | None) -> httpx.Response:
    rows = [{"id": number, "label": f"own-{number}", "actual_status": "running"} for number in ids]
    return httpx.Response(200, json={"success": True, "instances": rows, "next_token": token})


async def test_a_list_is_read_to_its_last_page_and_a_machine_that_moved_is_told_once(cloud, vast):
    cloud.on(*LIST, page(range(1, 26), "a"), page(range(25, 50), "b"), page(range(50, 53), None))
    machines = await vast.list_machines("own-")
    assert [machine.machine_id for machine in machines] == [str(number) for number in range(1, 53)]
    assert [request.url.params.get("after_token") for request in cloud.requests] == [None, "a", "b"]
    assert {request.url.params["limit"] for request in cloud.requests} == {"25"}


async def test_pages_in_a_circle_end(cloud, vast):
    cloud.on(*LIST, page(range(1, 26), "a"))
    with pytest.raises(Unavailable):
        await vast.list_machines("own-")
    assert cloud.count(*LIST) == 2


async def test_a_machine_that_can_not_be_read_spoils_the_list_rather_than_look_absent(cloud, vast):
    rows = [{"id": 1, "label": "own-1", "actual_status": "running"}, {"id": "x", "label": "own-2"}]
    cloud.on(*LIST, httpx.Response(200, json={"instances": rows, "next_token": None}))
    with pytest.raises(Unavailable):
        await vast.list_machines("own-")


async def test_strangers_are_not_even_read(cloud, vast):
    rows = [{"id": "x", "label": "theirs"}, {"id": 2, "label": None}, {"id": 3}, {"id": 4, "label": "own-4"}]
    cloud.on(*LIST, httpx.Response(200, json={"instances": rows, "next_token": None}))
    assert [machine.machine_id for machine in await vast.list_machines("own-")] == ["4"]
