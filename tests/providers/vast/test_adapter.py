import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.providers import (
    CostLine,
    Gone,
    NoCapacity,
    OutcomeUnknown,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Unavailable,
    Unsupported,
)

START = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
CREATE = ("PUT", "/api/v0/asks/1001/")
KEYS = "/api/v0/ssh/"
CHARGES = ("GET", "/api/v0/charges/")
SEARCH = ("POST", "/api/v0/bundles/")
CREATED = httpx.Response(200, json={"success": True, "new_contract": 12345, "instance_api_key": "x"})


async def test_an_order_becomes_the_body_that_the_cloud_wants(cloud, vast, order):
    cloud.on(*CREATE, CREATED)
    assert await vast.create(order(env={"A": "1"}, ports=(8000,))) == "12345"
    assert cloud.bodies(*CREATE) == [
        {
            "client_id": "me",
            "image": "nvidia/cuda:12.8.1-base-ubuntu24.04",
            "env": {"A": "1", "-p 8000:8000": "1"},
            "price": None,
            "disk": 20,
            "label": "own-1",
            "runtype": "ssh_direc ssh_proxy",
            "target_state": "running",
            "cancel_unavail": True,
            "force": False,
        }
    ]


async def test_a_bid_travels_as_dollars(cloud, vast, order):
    cloud.on(*CREATE, CREATED)
    await vast.create(order(spot=True, bid_micros_per_hour=165_001, disk_gb=1))
    sent = cloud.bodies(*CREATE)[0]
    assert (sent["price"], sent["disk"]) == (0.165001, 8)


@pytest.mark.parametrize("bid", [None, 0, 999, 128_000_001])
async def test_a_bid_out_of_bounds_is_not_sent(cloud, vast, order, bid):
    with pytest.raises(Rejected):
        await vast.create(order(spot=True, bid_micros_per_hour=bid))
    assert cloud.requests == []


async def test_the_key_is_added_once_and_remembered(cloud, vast, order, public_key):
    cloud.on(*CREATE, CREATED)
    cloud.on("GET", KEYS, httpx.Response(200, json=[]))
    cloud.on("POST", KEYS, httpx.Response(200, json={"success": True, "key": {"id": 9, "public_key": public_key}}))
    await vast.create(order())
    await vast.create(order(marker="own-2"))
    assert cloud.bodies("POST", KEYS) == [{"ssh_key": public_key.rsplit(" ", 1)[0]}]
    assert cloud.count("GET", KEYS) == 1
    assert await vast.ensure_ssh_key("any", public_key) == "9"


async def test_doubt_about_the_key_is_no_doubt_about_a_machine(cloud, vast, order):
    cloud.on("GET", KEYS, httpx.Response(200, json=[]))
    cloud.on("POST", KEYS, httpx.ReadTimeout("slow"))
    with pytest.raises(Unavailable):
        await vast.create(order())
    assert cloud.count(*CREATE) == 0


async def test_both_markets_are_searched_and_unreadable_offers_left_out(cloud, vast):
    good = {
        "id": 1,
        "gpu_name": "L4",
        "num_gpus": 1,
        "gpu_ram": 23034,
        "dph_base": 0.2,
        "min_bid": 0.1,
        "storage_cost": 0.1,
    }
    cloud.on(*SEARCH, httpx.Response(200, json={"offers": [good, {"id": 2}, "x", good]}))
    offers = await vast.list_offers()
    assert [(offer.offer_id, offer.spot, offer.price_micros_per_hour) for offer in offers] == [
        ("1", False, 200_000),
        ("1", True, 110_000),
    ]
    queries = cloud.bodies(*SEARCH)
    assert [query["type"] for query in queries] == ["on-demand", "bid"]
    assert all(query["rentable"] == {"eq": True} and query["allocated_storage"] == 20 for query in queries)


async def test_a_market_of_which_nothing_can_be_read_is_unavailable(cloud, vast):
    cloud.on(*SEARCH, httpx.Response(200, json={"offers": [{"id": 2}, "x"]}))
    with pytest.raises(Unavailable):
        await vast.list_offers()


async def test_an_empty_market_is_an_answer(cloud, vast):
    cloud.on(*SEARCH, httpx.Response(200, json={"offers": []}))
    assert await vast.list_offers() == []


async def test_the_oldest_of_two_twins_is_found(cloud, vast):
    rows = [{"id": 12, "label": "own-1"}, {"id": 9, "label": "own-1"}, {"id": 3, "label": "own-10"}]
    cloud.on("GET", "/api/v1/instances/", httpx.Response(200, json={"instances": rows, "next_token": None}))
    found = await vast.find_by_marker("own-1")
    assert found.machine_id == "9"
    assert cloud.requests[-1].url.params["select_filters"] == '{"label": {"eq": "own-1"}}'


def charges(*rows: tuple[str, datetime, datetime, float]) -> httpx.Response:
    results = [
        {"source": source, "start": int(start.timestamp()), "end": int(end.timestamp()), "amount": amount}
        for source, start, end, amount in rows
    ]
    return httpx.Response(200, json={"success": True, "next_token": None, "results": results})


async def cost(vast):
    return await vast.realised_cost("555", start=START, end=START + 4 * HOUR, price_micros_per_hour=300_000)


async def test_the_books_say_what_a_machine_cost(cloud, vast):
    ours = ("instance-555", START, START + 4 * HOUR, 1.23)
    strangers = ("instance-5", START, START + 4 * HOUR, 99.0)
    earlier = ("instance-555", START - 9 * HOUR, START - 8 * HOUR, 50.0)
    cloud.on(*CHARGES, charges(ours, strangers, earlier))
    found = await cost(vast)
    assert (found.micros, found.exact) == (1_230_000, True)


async def test_books_that_lag_give_an_estimate_that_is_never_below_the_meter(cloud, vast):
    cloud.on(*CHARGES, charges(("instance-555", START, START + HOUR, 0.31)))
    found = await cost(vast)
    assert (found.micros, found.exact) == (1_200_000, False)
    cloud.on(*CHARGES, charges())
    found = await cost(vast)
    assert (found.micros, found.exact) == (1_200_000, False)


async def test_the_books_of_a_day_are_summed_by_machine(cloud, vast):
    rows = [
        {"source": "instance-555", "start": 0, "end": 1, "amount": 1.0, "metadata": {"label": "own-1"}},
        {"source": "instance-555", "start": 1, "end": 2, "amount": 0.23, "metadata": {"label": "own-1"}},
        {"source": "instance-6", "start": 1, "end": 2, "amount": 2.0},
        {"source": "volume-6", "start": 1, "end": 2, "amount": 9.0},
    ]
    cloud.on(*CHARGES, httpx.Response(200, json={"success": True, "next_token": None, "results": rows}))
    midnight = START.replace(hour=0, minute=0, second=0)
    lines = await vast.list_costs(start=midnight, end=midnight + timedelta(days=1))
    assert lines == [CostLine("555", "own-1", 1_230_000), CostLine("6", None, 2_000_000)]
    asked = json.loads(cloud.requests[0].url.params["select_filters"])["day"]
    assert asked == {"gte": int(midnight.timestamp()), "lte": int(midnight.timestamp())}


async def test_an_instance_is_started_by_its_wanted_state(cloud, vast):
    cloud.on("PUT", "/api/v0/instances/555/", httpx.Response(200, json={"success": True}))
    await vast.resume("555")
    assert cloud.bodies("PUT", "/api/v0/instances/555/") == [{"state": "running"}]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(404, json={"success": False, "error": "no_such_instance", "msg": "x"}), Gone),
        (httpx.Response(410, json={"success": False, "error": "no_such_ask", "msg": "x"}), NoCapacity),
        (httpx.Response(400, json={"success": False, "error": "missing_billing", "msg": "x"}), QuotaExceeded),
        (httpx.Response(429, text="too frequent"), RateLimited),
        (httpx.Response(502, text="<html>"), OutcomeUnknown),
        (httpx.ReadTimeout("silence"), OutcomeUnknown),
    ],
)
async def test_answers_to_a_start_that_did_not_succeed(cloud, vast, answer, error):
    cloud.on("PUT", "/api/v0/instances/555/", answer)
    with pytest.raises(error):
        await vast.resume("555")
    assert len(cloud.requests) == 1


async def test_hibernation_is_not_to_be_had(vast):
    with pytest.raises(Unsupported):
        await vast.hibernate("555")
