"""A market of a hundred thousand listings at five clouds, made as polls of clouds make them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

from app.catalog.families import FAMILIES
from app.catalog.refreshing import refresh_provider
from app.kit.db import Database
from app.kit.rls import WORKER
from app.providers import Provider
from app.providers.contract import Capability, Offer
from benchmarks.ground import Ground, opened

CLOUDS = ("vast", "runpod", "lambda", "hyperstack", "modal")
LISTINGS_EACH = 20_000
LISTINGS = LISTINGS_EACH * len(CLOUDS)
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


class Cloud:
    """A cloud that only tells what it has."""

    def __init__(self, name: str) -> None:
        """Make a cloud's offers."""
        self.capability = replace(_CAPABILITY, name=name)
        chance = random.Random(name)
        known = [family for family in FAMILIES if family.runs_usual_images]
        popular = [family for family in known if family.slug in _POPULAR]
        slugs = [chance.choice(popular if chance.random() < 0.6 else known).slug for _ in range(LISTINGS_EACH)]
        self.offers: Sequence[Offer] = [
            replace(_offer(number, chance, slug), provider=name) for number, slug in enumerate(slugs)
        ]

    async def list_offers(self) -> list[Offer]:
        """Return all of them."""
        return list(self.offers)

    async def tell(self, db: Database, *, at: datetime) -> tuple[int, int]:
        """Be polled; return how many listings were written and how many are gone."""
        result = await refresh_provider(db, cast("Provider", self), at=at)
        assert result.listings > len(self.offers) * 0.9, result
        return result.written, result.gone


async def fill(ground: Ground, url: str, *, at: datetime) -> None:
    """Write the market into a database; each cloud has failed launches, some more and some fewer."""
    async with opened(url, WORKER) as db:
        for name in CLOUDS:
            await Cloud(name).tell(db, at=at)
    tries = ", ".join(f"('{name}', {1000 + 150 * number})" for number, name in enumerate(CLOUDS))
    await ground.execute(
        url,
        "INSERT INTO machine_health SELECT DISTINCT c.provider, l.family, l.spot, 50, 900000, 60, NULL::bigint, c.tries "
        f"FROM listings l JOIN (VALUES {tries}) AS c(provider, tries) ON c.provider = l.provider",
        "VACUUM ANALYZE",
    )


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
