"""A market of a hundred thousand listings, made as a poll of a cloud makes them."""

from __future__ import annotations

import random
from datetime import datetime
from typing import cast

from app.catalog.families import FAMILIES
from app.catalog.refreshing import refresh_provider
from app.kit.rls import WORKER
from app.providers import Provider
from app.providers.contract import Capability, Offer
from benchmarks.ground import Ground, opened

LISTINGS = 100_000
_POPULAR = ("rtx-4090", "rtx-3090", "h100-80gb", "a100-80gb")
_PLACES = (("us-texas", "US"), ("us-oregon", "US"), ("de-berlin", "DE"), ("se-boden", "SE"), ("jp-tokyo", "JP"))
_CAPABILITY = Capability(
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


class _Market:
    """A cloud that only tells what it has."""

    capability = _CAPABILITY

    async def list_offers(self) -> list[Offer]:
        chance = random.Random(1)
        known = [family for family in FAMILIES if family.runs_usual_images]
        popular = [family for family in known if family.slug in _POPULAR]
        return [
            _offer(number, chance, chance.choice(popular if chance.random() < 0.6 else known).slug)
            for number in range(LISTINGS)
        ]


async def fill(ground: Ground, url: str, *, at: datetime) -> None:
    """Write the market into a database."""
    async with opened(url, WORKER) as db:
        result = await refresh_provider(db, cast("Provider", _Market()), at=at)
    assert result.listings > LISTINGS * 0.9, result
    await ground.execute(url, "VACUUM ANALYZE")


def _offer(number: int, chance: random.Random, slug: str) -> Offer:
    family = next(found for found in FAMILIES if found.slug == slug)
    gpu_count = chance.choice((1, 1, 1, 2, 4, 8))
    region, country = chance.choice(_PLACES)
    return Offer(
        provider="vast",
        offer_id=str(number),
        gpu_name=family.model(chance.choice(family.interconnects)),
        gpu_count=gpu_count,
        vram_mib=family.vram_gb * 1024,
        price_micros_per_hour=gpu_count * chance.randint(200_000, 4_000_000),
        disk_micros_per_gb_month=chance.randint(50_000, 300_000),
        spot=chance.random() < 0.4,
        region_id=region,
        region_name=region,
        country=country,
        cpu_cores=chance.choice((8, 16, 32, 64)),
        ram_mib=chance.choice((32_768, 65_536, 262_144)),
        disk_gb_max=chance.choice((100, 500, 2000)),
        inet_up_mbps=chance.randint(50, 5000),
        inet_down_mbps=chance.randint(50, 5000),
        cuda_max=chance.choice(("12.2", "12.4", "12.8")),
        reliability_ppm=chance.randint(900_000, 1_000_000),
        host_id=str(number // 4),
    )
