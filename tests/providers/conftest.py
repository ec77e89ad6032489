"""What the scenes about clouds share: keys, orders, and a cloud that answers what it is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import asyncssh
import httpx
import pytest

from app.providers import HyperstackProvider, LambdaProvider, Order, Provider, RunpodProvider, VastProvider, WireOptions

FAST = WireOptions(connect_seconds=1, first_byte_seconds=1, total_seconds=2, first_retry_seconds=0.01, pace_factor=0)

Answer = httpx.Response | Exception


@dataclass
class Scripted:
    """A cloud that gives the answers it was handed, by method and path; the last one again and again."""

    answers: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)

    def on(self, method: str, path: str, *answers: Answer) -> None:
        self.answers[method, path] = list(answers)

    def bodies(self, method: str, path: str) -> list[object]:
        return [json.loads(sent.content) for sent in self.requests if (sent.method, sent.url.path) == (method, path)]

    def count(self, method: str, path: str) -> int:
        return sum((sent.method, sent.url.path) == (method, path) for sent in self.requests)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        waiting = self.answers.get((request.method, request.url.path), [httpx.Response(404)])
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.content)


@pytest.fixture(scope="session")
def public_key() -> str:
    key = asyncssh.generate_private_key("ssh-ed25519", comment="platform")
    return key.export_public_key().decode().strip()


@pytest.fixture
def order(public_key: str) -> Callable[..., Order]:
    def build(offer_id: str = "1001", **changes: object) -> Order:
        facts: dict[str, object] = {
            "marker": "own-1",
            "offer_id": offer_id,
            "region_id": "any",
            "spot": False,
            "bid_micros_per_hour": None,
            "image": "nvidia/cuda:12.8.1-base-ubuntu24.04",
            "disk_gb": 20,
            "platform_public_key": public_key,
        }
        return Order(**{**facts, **changes})

    return build


@pytest.fixture
def cloud() -> Scripted:
    return Scripted()


@pytest.fixture
async def vast(cloud: Scripted, public_key: str) -> AsyncIterator[Provider]:
    cloud.on("GET", "/api/v0/ssh/", httpx.Response(200, json=[{"id": 7, "key": public_key}]))
    async with httpx.AsyncClient(transport=httpx.MockTransport(cloud)) as client:
        yield VastProvider(api_key="k", base_url="http://vast.test", client=client, options=FAST)


@pytest.fixture
async def lambda_(cloud: Scripted, public_key: str) -> AsyncIterator[Provider]:
    keys = [{"id": "a1", "name": "platform-key", "public_key": public_key}]
    cloud.on("GET", "/api/v1/ssh-keys", httpx.Response(200, json={"data": keys}))
    async with httpx.AsyncClient(transport=httpx.MockTransport(cloud)) as client:
        yield LambdaProvider(api_key="k", base_url="http://lambda.test", client=client, options=FAST)


@pytest.fixture
async def runpod(cloud: Scripted) -> AsyncIterator[Provider]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(cloud)) as client:
        yield RunpodProvider(api_key="k", base_url="http://runpod.test", client=client, options=FAST)


@pytest.fixture
async def hyperstack(cloud: Scripted, public_key: str) -> AsyncIterator[Provider]:
    environment = {"id": 1, "name": "default-CANADA-1", "region": "CANADA-1"}
    key = {"id": 7, "name": "platform-key", "public_key": public_key, "environment": environment}
    image = {"name": "Ubuntu Server 22.04 LTS R535 CUDA 12.2"}
    cloud.on("GET", "/v1/core/environments", httpx.Response(200, json={"environments": [environment]}))
    cloud.on("GET", "/v1/core/keypairs", httpx.Response(200, json={"keypairs": [key]}))
    cloud.on("GET", "/v1/core/images", httpx.Response(200, json={"images": [{"images": [image]}]}))
    async with httpx.AsyncClient(transport=httpx.MockTransport(cloud)) as client:
        yield HyperstackProvider(api_key="k", base_url="http://hyperstack.test/v1", client=client, options=FAST)
