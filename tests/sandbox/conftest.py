"""A sandbox that boots in a fraction of a second, and clients to talk to it as a program would."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.sandbox import Sandbox, SandboxConfig

QUICK = SandboxConfig(boot_seconds=0.2, terminate_seconds=0.1, terminated_seconds=0.3, ssh_port=0, price_step_seconds=0)
LATEST = 20.0


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        self._moved = asyncio.Condition()

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        due = self.at + timedelta(seconds=seconds)
        async with self._moved:
            await self._moved.wait_for(lambda: self.at >= due)

    async def advance(self, seconds: float) -> None:
        async with self._moved:
            self.at += timedelta(seconds=seconds)
            self._moved.notify_all()


@asynccontextmanager
async def clients(sandbox: Sandbox) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    config = sandbox.config
    async with (
        httpx.AsyncClient(
            base_url=sandbox.url, headers={"Authorization": f"Bearer {config.vast_key}"}, verify=False
        ) as vast,
        httpx.AsyncClient(
            base_url=sandbox.url, headers={"Authorization": f"Bearer {config.lambda_key}"}, verify=False
        ) as lambda_,
    ):
        yield vast, lambda_


async def ask_until_true(check: Callable[[], Awaitable[object]]) -> object:
    """Ask again until the answer is true, and return it."""
    async with asyncio.timeout(LATEST):
        for pause in itertools.repeat(0.02):
            if answer := await check():
                break
            await asyncio.sleep(pause)
        return answer


class Vast:
    """A few calls in Vast's own wire, for scenes that are about something else."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def search(self, **query: object) -> list[dict]:
        answer = await self.http.post("/api/v0/bundles/", json=query)
        return answer.raise_for_status().json()["offers"]

    async def cheapest(self, **query: object) -> dict:
        return (await self.search(order=[["dph_total", "asc"]], disk_space={"gte": 100}, **query))[0]

    async def rent(self, offer: dict, **more: object) -> httpx.Response:
        body = {"image": "ubuntu:22.04", "disk": 20, "label": "own-1", "cancel_unavail": True, **more}
        return await self.http.put(f"/api/v0/asks/{offer['id']}/", json=body)

    async def rented(self, **more: object) -> int:
        answer = await self.rent(await self.cheapest(), **more)
        return answer.raise_for_status().json()["new_contract"]

    async def show(self, number: int) -> dict | None:
        return (await self.http.get(f"/api/v0/instances/{number}/")).raise_for_status().json()["instances"]

    async def listed(self) -> list[dict]:
        return (await self.http.get("/api/v1/instances/")).raise_for_status().json()["instances"]

    async def reaches(self, number: int, status: str | None) -> dict:
        async def there():
            row = await self.show(number)
            return row if row and row["actual_status"] == status else None

        return await ask_until_true(there)


class Lambda:
    """The same for Lambda."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def types(self) -> dict:
        return (await self.http.get("/api/v1/instance-types")).raise_for_status().json()["data"]

    async def available(self) -> tuple[str, str]:
        for name, kind in (await self.types()).items():
            for region in kind["regions_with_capacity_available"]:
                return name, region["name"]
        raise AssertionError("nothing is available")

    async def add_key(self, name: str = "k1", public_key: str | None = None) -> dict:
        body = {"name": name} | ({"public_key": public_key} if public_key else {})
        return (await self.http.post("/api/v1/ssh-keys", json=body)).raise_for_status().json()["data"]

    async def launch(self, **more: object) -> httpx.Response:
        kind, region = await self.available()
        body = {"instance_type_name": kind, "region_name": region, "ssh_key_names": ["k1"], "name": "own-1", **more}
        return await self.http.post("/api/v1/instance-operations/launch", json=body)

    async def launched(self, **more: object) -> str:
        return (await self.launch(**more)).raise_for_status().json()["data"]["instance_ids"][0]

    async def get(self, number: str) -> dict | None:
        answer = await self.http.get(f"/api/v1/instances/{number}")
        return None if answer.status_code == 404 else answer.raise_for_status().json()["data"]

    async def listed(self) -> list[dict]:
        return (await self.http.get("/api/v1/instances")).raise_for_status().json()["data"]

    async def terminate(self, number: str) -> httpx.Response:
        return await self.http.post("/api/v1/instance-operations/terminate", json={"instance_ids": [number]})

    async def reaches(self, number: str, status: str) -> dict:
        async def there():
            row = await self.get(number)
            return row if row and row["status"] == status else None

        return await ask_until_true(there)


@pytest.fixture
def until():
    return ask_until_true


@pytest.fixture
async def sandbox():
    sandbox = await Sandbox.start(QUICK)
    yield sandbox
    await sandbox.aclose()


@pytest.fixture
async def vast(sandbox):
    async with clients(sandbox) as (http, _):
        yield Vast(http)


@pytest.fixture
async def lambda_(sandbox):
    async with clients(sandbox) as (_, http):
        yield Lambda(http)


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
async def slow_world(clock):
    """A sandbox whose time a test moves, with both clouds."""
    sandbox = await Sandbox.start(
        SandboxConfig(boot_seconds=60, ssh_port=0, price_step_seconds=60, terminate_seconds=5, terminated_seconds=60),
        clock=clock,
    )
    async with clients(sandbox) as (vast, lambda_):
        yield sandbox, Vast(vast), Lambda(lambda_)
    await sandbox.aclose()
