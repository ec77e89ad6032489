"""A cloud that only tells what it has."""

from __future__ import annotations

from dataclasses import replace

from app.providers.contract import Capability, Offer

OFFER = Offer(
    provider="north",
    offer_id="1",
    gpu_name="RTX 4090",
    gpu_count=1,
    vram_mib=24_564,
    price_micros_per_hour=360_000,
    disk_micros_per_gb_month=144_000,
    spot=False,
    region_id="us-oregon",
    region_name="Oregon, US",
    country="US",
    cpu_cores=16,
    ram_mib=65_536,
    disk_gb_max=5000,
    inet_up_mbps=800,
    inet_down_mbps=900,
    cuda_max="12.8",
    reliability_ppm=998_000,
    host_id="77",
)
OFFERS = (OFFER, replace(OFFER, offer_id="2", price_micros_per_hour=500_000, region_id="se-lulea", country="SE"))

CAPABILITY = Capability(
    name="north",
    title="North",
    pricing="api",
    launch="instance",
    shutdown="destroy",
    spot=False,
    interruption="none",
    hibernate=False,
    stop=False,
    billing_granularity_seconds=1,
    min_commitment_seconds=0,
    marker_max_length=256,
    realised_cost="exact",
)


class Cloud:
    """One with two machines on offer, at 0.364 and 0.504 an hour with 20 GB."""

    capability = CAPABILITY

    async def list_offers(self) -> list[Offer]:
        return list(OFFERS)
