"""Offers and clouds for the catalog's scenes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.catalog.invariants import INVARIANTS
from app.catalog.refreshing import RefreshResult, refresh_provider
from app.kit.db import Database, driver
from app.providers.contract import Capability, Offer

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

OFFER = Offer(
    provider="vast",
    offer_id="1001",
    gpu_name="RTX 4090",
    gpu_count=1,
    vram_mib=24_564,
    price_micros_per_hour=400_000,
    disk_micros_per_gb_month=150_000,
    spot=False,
    region_id="us-oregon",
    region_name="Oregon, US",
    country="US",
    cpu_cores=16,
    ram_mib=65_536,
    disk_gb_max=500,
    inet_up_mbps=800,
    inet_down_mbps=900,
    cuda_max="12.8",
    reliability_ppm=998_000,
    host_id="77",
)

CAPABILITY = Capability(
    name="vast",
    title="Vast.ai",
    pricing="api",
    launch="instance",
    shutdown="stop",
    spot=True,
    interruption="outbid",
    hibernate=False,
    stop=True,
    billing_granularity_seconds=1,
    min_commitment_seconds=0,
    marker_max_length=256,
    realised_cost="exact",
)


class Cloud:
    """A cloud that only tells what it has; an exception among the answers is raised."""

    def __init__(self, name: str) -> None:
        self.capability = replace(CAPABILITY, name=name, title=name)
        self.answer: Sequence[Offer] | Exception = ()
        self.polls = 0

    async def list_offers(self) -> list[Offer]:
        self.polls += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return list(self.answer)


@pytest.fixture
def at() -> datetime:
    return AT


@pytest.fixture
def make_offer() -> Callable[..., Offer]:
    return lambda **changes: replace(OFFER, **changes)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud("vast")


@pytest.fixture
def make_cloud() -> Callable[[str], Cloud]:
    return Cloud


@pytest.fixture
def refresh() -> Callable[..., Any]:
    async def refreshed(db: Database, cloud: Cloud, offers: Sequence[Offer], *, at: datetime = AT) -> RefreshResult:
        cloud.answer = offers
        return await refresh_provider(db, cloud, at=at)

    return refreshed


async def broken_invariants(db: Database) -> dict[str, list[str]]:
    async with db.begin_unscoped() as session:
        found = {name: await driver(session).fetch(query) for name, query in INVARIANTS.items()}
    return {name: [row["id"] for row in rows] for name, rows in found.items() if rows}


@pytest.fixture
async def worker(own_databases) -> AsyncIterator[Database]:
    """The worker's database of this scene's own, in which every invariant holds at the end."""
    yield own_databases.worker
    assert await broken_invariants(own_databases.worker) == {}


@pytest.fixture
def api(own_databases) -> Database:
    return own_databases.api
