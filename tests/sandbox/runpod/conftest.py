"""A client that speaks RunPod's own wire, for scenes about its stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from app.sandbox import Sandbox

L4, RTX_4090 = "NVIDIA L4", "NVIDIA GeForce RTX 4090"


class Runpod:
    """A few calls, for scenes that are about something else."""

    def __init__(self, http: httpx.AsyncClient, until) -> None:
        self.http = http
        self._until = until

    async def gpus(self, **query: object) -> dict[str, dict]:
        answer = await self.http.get("/v2/catalog/gpus", params=query)
        return {gpu["id"]: gpu for gpu in answer.raise_for_status().json()["gpus"]}

    async def free(self, gpu_id: str = RTX_4090, **query: object) -> dict[str, str]:
        asked = {"include": "AVAILABILITY", "product": "POD", "minCudaVersion": "12.8", **query}
        gpu = (await self.gpus(**asked))[gpu_id]
        return {place["id"]: place["availability"] for place in gpu.get("dataCenters", [])}

    async def order(self, *, gpu: object = None, **more: object) -> httpx.Response:
        gpu = {"id": RTX_4090, "count": 1} if gpu is None else gpu
        body = {"name": "own-1", "image": "runpod/pytorch:1", "gpu": gpu, "ports": ["22/tcp"], **more}
        return await self.http.post("/v2/pods", json={key: value for key, value in body.items() if value is not ...})

    async def ordered(self, **more: object) -> dict:
        answer = await self.order(**more)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def get(self, pod_id: str) -> dict | None:
        answer = await self.http.get(f"/v2/pods/{pod_id}")
        return None if answer.status_code == 404 else answer.raise_for_status().json()

    async def act(self, pod_id: str, action: str) -> httpx.Response:
        return await self.http.post(f"/v2/pods/{pod_id}/action", json={"action": action})

    async def is_up(self, pod_id: str) -> dict:
        async def up():
            row = await self.get(pod_id)
            return row if row and row["runtime"] else None

        return await self._until(up)

    async def books(self, **query: object) -> dict:
        return (await self.http.get("/v2/billing/pods", params=query)).raise_for_status().json()


def runpod_client(sandbox: Sandbox) -> httpx.AsyncClient:
    key = {"Authorization": f"Bearer {sandbox.config.runpod_key}"}
    return httpx.AsyncClient(base_url=sandbox.url, headers=key, verify=False)


@pytest.fixture
async def runpod(sandbox, until) -> AsyncIterator[Runpod]:
    async with runpod_client(sandbox) as http:
        yield Runpod(http, until)


@pytest.fixture
async def slow(slow_world, until) -> AsyncIterator[tuple[Sandbox, Runpod]]:
    """A sandbox whose time a test moves."""
    async with runpod_client(slow_world[0]) as http:
        yield slow_world[0], Runpod(http, until)
