import subprocess
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.providers import CostLine, NoCapacity, Rejected, RunpodProvider, Unavailable, Unsupported
from app.providers.keys import parse_public_key
from app.providers.runpod.booting import start_of

START = datetime(2026, 6, 1, 14, 13, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
OFFER = "SECURE:US-KS-2:2:NVIDIA L4"
CREATE = ("POST", "/v2/pods")
LIST = ("GET", "/v2/pods")
CATALOG = ("GET", "/v2/catalog/gpus")
BOOKS = ("GET", "/v2/billing/pods")
CREATED = httpx.Response(201, json={"id": "7h9k2m4n6p", "status": "PROVISIONING"})


async def test_an_order_becomes_the_body_that_the_cloud_wants(cloud, runpod, order, public_key):
    cloud.on(*CREATE, CREATED)
    ordered = order(OFFER, image="runpod/pytorch:1.0.2", env={"A": "1"}, ports=(8000, 22))
    assert await runpod.create(ordered) == "7h9k2m4n6p"
    assert cloud.bodies(*CREATE) == [
        {
            "name": "own-1",
            "image": "runpod/pytorch:1.0.2",
            "cloud": "SECURE",
            "gpu": {"id": "NVIDIA L4", "count": 2, "minCudaVersion": "12.8"},
            "dataCenterIds": ["US-KS-2"],
            "disk": 20,
            "ports": ["22/tcp", "8000/tcp"],
            "env": {"A": "1", "PUBLIC_KEY": public_key.rsplit(" ", 1)[0]},
        }
    ]


async def test_a_place_anywhere_is_left_to_the_cloud(cloud, runpod, order):
    cloud.on(*CREATE, CREATED)
    await runpod.create(order("COMMUNITY:ANY:1:NVIDIA L4"))
    [body] = cloud.bodies(*CREATE)
    assert body["cloud"] == "COMMUNITY"
    assert "dataCenterIds" not in body


async def test_an_image_that_is_not_prepared_brings_up_ssh_itself(cloud, runpod, order):
    cloud.on(*CREATE, CREATED)
    await runpod.create(order(OFFER, image="nvidia/cuda:12.8.1-base-ubuntu24.04"))
    [body] = cloud.bodies(*CREATE)
    assert body["entrypoint"] == ["/bin/sh"]
    assert body["cmd"][0] == "-c"
    assert "$PUBLIC_KEY" in body["cmd"][1]


async def test_the_platforms_key_is_the_one_that_counts(cloud, runpod, order, public_key):
    cloud.on(*CREATE, CREATED)
    await runpod.create(order(OFFER, env={"PUBLIC_KEY": "ssh-ed25519 AAAA theirs"}))
    assert cloud.bodies(*CREATE)[0]["env"]["PUBLIC_KEY"] == parse_public_key(public_key).line


async def test_the_accounts_keys_are_never_touched(cloud, runpod, order, public_key):
    cloud.on(*CREATE, CREATED)
    key_id = await runpod.ensure_ssh_key("any", public_key)
    await runpod.create(order(OFFER))
    await runpod.remove_ssh_key(key_id)
    assert key_id == parse_public_key(public_key).name
    assert [(sent.method, sent.url.path) for sent in cloud.requests] == [CREATE]


@pytest.mark.parametrize(
    ("offer_id", "changes", "error"),
    [
        ("1001", {}, NoCapacity),
        (OFFER, {"marker": "x" * 61}, Rejected),
        (OFFER, {"spot": True, "bid_micros_per_hour": 1}, Rejected),
        (OFFER, {"platform_public_key": "ssh-rsa AAAA"}, Rejected),
        (OFFER, {"env": {"A B": "1"}}, Rejected),
    ],
)
async def test_what_can_not_be_ordered_is_not_sent(cloud, runpod, order, offer_id, changes, error):
    with pytest.raises(error):
        await runpod.create(order(offer_id, **changes))
    assert cloud.requests == []


def gpu(memory: object = 24, most: int = 8) -> dict[str, object]:
    return {
        "id": "NVIDIA L4",
        "manufacturer": "NVIDIA",
        "memory": memory,
        "secure": True,
        "community": True,
        "price": {"secure": 0.43, "community": 0.44},
        "maxCount": {"secure": most, "community": 2},
        "availability": "HIGH",
        "dataCenters": [{"id": "US-KS-2", "name": "US Kansas 2", "availability": "HIGH"}],
    }


async def test_both_clouds_are_asked_as_far_as_their_machines_go(cloud, runpod):
    cloud.on(*CATALOG, httpx.Response(200, json={"gpus": [gpu(), {"id": 2}]}))
    offers = await runpod.list_offers()
    assert [(offer.security_tier, offer.gpu_count, offer.price_micros_per_hour) for offer in offers] == [
        ("secure", 1, 430_000),
        ("secure", 2, 860_000),
        ("secure", 4, 1_720_000),
        ("secure", 8, 3_440_000),
        ("community", 1, 440_000),
        ("community", 2, 880_000),
    ]
    asked = [dict(sent.url.params) for sent in cloud.requests]
    assert asked[0] == {
        "include": "AVAILABILITY",
        "product": "POD",
        "cloud": "SECURE",
        "count": "1",
        "minCudaVersion": "12.8",
    }
    assert [(query["cloud"], query["count"]) for query in asked[1:]] == [
        ("SECURE", "2"), ("SECURE", "4"), ("SECURE", "8"), ("COMMUNITY", "1"), ("COMMUNITY", "2"),
    ]  # fmt: skip


async def test_half_a_catalog_is_none(cloud, runpod):
    whole, unreadable = ({"gpus": [gpu(memory)]} for memory in (24, "x"))
    answers = [httpx.Response(200, json=body) for body in (whole, whole, whole, whole, unreadable)]
    cloud.on(*CATALOG, *answers)
    with pytest.raises(Unavailable):
        await runpod.list_offers()


async def test_the_oldest_of_two_twins_is_found(cloud, runpod):
    rows = [
        {"id": "c", "name": "own-1", "status": "RUNNING"},
        {"id": "b", "name": "own-1", "status": "RUNNING", "createdAt": "2026-06-01T12:00:00Z"},
        {"id": "a", "name": "own-1", "status": "TERMINATED", "createdAt": "2026-06-01T11:00:00Z"},
        {"id": "d", "name": "own-1", "status": "RUNNING", "createdAt": "2026-06-01T13:00:00+02:00"},
        {"id": "e", "name": "own-10", "status": "RUNNING", "createdAt": "2026-06-01T10:00:00Z"},
    ]
    cloud.on(*LIST, httpx.Response(200, json={"pods": rows}))
    assert (await runpod.find_by_marker("own-1")).machine_id == "d"
    assert await runpod.find_by_marker("own-") is None


async def test_strangers_pods_may_be_garbage(cloud, runpod):
    rows = [{"id": "a", "name": "theirs", "status": 5}, {"id": "b", "name": "own-1", "status": "RUNNING"}]
    cloud.on(*LIST, httpx.Response(200, json={"pods": rows}))
    assert [machine.machine_id for machine in await runpod.list_machines("own-")] == ["b"]


def books(*rows: tuple[str, float], counted: int | None = None) -> httpx.Response:
    records = [{"podId": pod_id, "totalAmount": amount} for pod_id, amount in rows]
    count = len(records) if counted is None else counted
    return httpx.Response(200, json={"records": records, "metadata": {"recordCount": count}})


class HandClock:
    """A clock that stands."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


@pytest.fixture
async def costs(cloud):
    """Ask what a pod cost that ran for four hours at 0.30 dollars, so long after its end."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(cloud)) as client:

        async def ask(*rows: tuple[str, float], after: timedelta = HOUR):
            cloud.on(*BOOKS, books(*rows))
            clock = HandClock(START + 4 * HOUR + after)
            provider = RunpodProvider(api_key="k", base_url="http://runpod.test", client=client, clock=clock)
            found = await provider.realised_cost("a", start=START, end=START + 4 * HOUR, price_micros_per_hour=300_000)
            return found.micros, found.exact

        yield ask


async def test_the_books_say_what_a_pod_cost(cloud, costs):
    assert await costs(("a", 0.4), ("a", 0.83), ("b", 99.0)) == (1_230_000, True)
    query = dict(cloud.requests[-1].url.params)
    assert query == {
        "startTime": "2026-06-01T14:13:20.000Z",
        "endTime": "2026-06-01T18:13:20.000Z",
        "bucketSize": "hour",
        "podId": "a",
    }


async def test_books_that_lag_give_an_estimate_that_is_never_below_the_meter(costs):
    assert await costs(("a", 0.31)) == (1_200_000, False)
    assert await costs() == (1_200_000, False)
    assert await costs(("a", 1.187)) == (1_200_000, False)
    assert await costs(("a", 1.189)) == (1_189_000, True)


async def test_after_a_day_the_books_are_closed(costs):
    assert await costs(("a", 0.31), after=timedelta(days=1)) == (310_000, True)
    assert await costs(after=timedelta(days=1)) == (0, True)
    assert await costs(("a", -5), after=timedelta(days=1)) == (0, True)


async def test_books_that_are_a_part_are_unavailable(cloud, runpod):
    cloud.on(*BOOKS, books(("a", 1), counted=2))
    with pytest.raises(Unavailable):
        await runpod.list_costs(start=START, end=START + HOUR)
    cloud.on(*BOOKS, httpx.Response(200, json={"records": []}))
    with pytest.raises(Unavailable):
        await runpod.list_costs(start=START, end=START + HOUR)


async def test_everybodys_costs_are_told_by_id(cloud, runpod):
    cloud.on(*BOOKS, books(("b", 0.5), ("a", 0.25), ("b", 0.125)))
    midnight = START.replace(hour=0, minute=0, second=0)
    found = await runpod.list_costs(start=midnight, end=midnight + timedelta(days=1))
    assert found == [CostLine("a", None, 250_000), CostLine("b", None, 625_000)]
    query = dict(cloud.requests[-1].url.params)
    assert (query["bucketSize"], "podId" in query) == ("day", False)
    await runpod.list_costs(start=START, end=START + HOUR)
    assert cloud.requests[-1].url.params["bucketSize"] == "hour"


async def test_hibernation_is_not_to_be_had(runpod):
    with pytest.raises(Unsupported):
        await runpod.hibernate("abc")


def test_the_script_at_the_start_is_a_script():
    script = start_of("ubuntu:24.04")["cmd"][1]
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert start_of("runpod/base:1") == {}
