"""RunPod's books: by bucket, with what a pod costs through its life."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from app.sandbox import Sandbox, SandboxConfig

MOUNTS = {"persistent": {"size": 72, "path": "/workspace"}}


def amounts(record):
    return tuple(round(record[key] * 1_000_000) for key in ("gpuAmount", "diskAmount", "totalAmount"))


async def test_a_pod_costs_from_its_creation_and_less_once_it_is_stopped(slow, clock):
    _, runpod = slow
    pod_id = (await runpod.ordered(disk=72, mounts=MOUNTS))["id"]
    await clock.advance(60)
    await runpod.is_up(pod_id)
    await clock.advance(1740)
    await runpod.act(pod_id, "stop")
    await clock.advance(1800)
    await asyncio.sleep(0.05)
    [hour] = (await runpod.books(bucketSize="hour", podId=pod_id))["records"]
    assert amounts(hour) == (345_000, 20_000, 365_000)
    await runpod.act(pod_id, "start")
    await clock.advance(3600)
    await runpod.http.delete(f"/v2/pods/{pod_id}")
    await clock.advance(36_000)
    books = await runpod.books(bucketSize="hour", podId=pod_id)
    assert [amounts(record) for record in books["records"]] == [(345_000, 20_000, 365_000), (690_000, 20_000, 710_000)]
    assert books["metadata"]["recordCount"] == 2
    assert amounts(books["metadata"]["totals"]) == (1_035_000, 40_000, 1_075_000)


@pytest.mark.parametrize(
    ("size", "start", "end"),
    [
        ("hour", "2026-03-01T12:00:00.000Z", "2026-03-01T13:00:00.000Z"),
        ("day", "2026-03-01T00:00:00.000Z", "2026-03-02T00:00:00.000Z"),
        ("week", "2026-02-23T00:00:00.000Z", "2026-03-02T00:00:00.000Z"),
        ("month", "2026-03-01T00:00:00.000Z", "2026-04-01T00:00:00.000Z"),
        ("year", "2026-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"),
    ],
)
async def test_a_period_is_widened_to_its_buckets(slow, clock, size, start, end):
    _, runpod = slow
    await runpod.ordered()
    await clock.advance(1800)
    for query in ({"startTime": "2026-03-01T12:10:00Z", "endTime": "2026-03-01T12:20:00Z"}, {"lastN": "1"}):
        books = await runpod.books(bucketSize=size, **query)
        assert (books["metadata"]["query"]["startTime"], books["metadata"]["query"]["endTime"]) == (start, end)
        [record] = books["records"]
        assert (record["startTime"], record["endTime"], amounts(record)[0]) == (start, end, 345_000)


async def test_all_pods_are_told_apart(slow, clock):
    _, runpod = slow
    ids = {(await runpod.ordered(name=f"own-{number}"))["id"] for number in range(2)}
    await clock.advance(3600 * 30)
    books = await runpod.books(lastN="3")
    assert {record["podId"] for record in books["records"]} == ids
    assert (books["metadata"]["recordCount"], books["metadata"]["uniquePodCount"]) == (4, 2)
    assert (await runpod.books(podId="nobody"))["records"] == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"lastN": "1", "startTime": "2026-03-01T12:10:00Z"}, 400),
        ({"startTime": "2026-03-01T12:10:00Z", "endTime": "2026-02-01T12:10:00Z"}, 400),
        ({"lastN": "0"}, 422),
        ({"bucketSize": "minute"}, 422),
        ({"startTime": "yesterday"}, 422),
    ],
)
async def test_a_period_that_makes_no_sense_is_refused(runpod, query, status):
    assert (await runpod.http.get("/v2/billing/pods", params=query)).status_code == status


async def test_books_run_behind_where_they_are_told_to(clock, tmp_path):
    clock.at = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    config = replace(SandboxConfig(), home=tmp_path, ssh_port=0, charges_lag_seconds=3600, price_step_seconds=0)
    sandbox = await Sandbox.start(config, clock=clock)
    key = {"Authorization": f"Bearer {config.runpod_key}"}
    async with httpx.AsyncClient(base_url=sandbox.url, headers=key) as http:
        gpu = {"id": "NVIDIA GeForce RTX 4090", "count": 1}
        await http.post("/v2/pods", json={"name": "own-1", "image": "runpod/base:1", "gpu": gpu})
        told = []
        for _ in range(3):
            await clock.advance(1800)
            records = (await http.get("/v2/billing/pods", params={"bucketSize": "hour"})).json()["records"]
            told.append([amounts(record)[0] for record in records])
    await sandbox.aclose()
    assert told == [[], [], [345_000]]
