"""What stands in the room's tables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from app.providers import Order


async def costs_of(stage: Any) -> list[dict[str, Any]]:
    return await rows(stage, "SELECT * FROM machine_costs ORDER BY began_at, machine_id")


async def rows(stage: Any, query: str, **values: Any) -> list[dict[str, Any]]:
    async with stage.databases.worker.begin_unscoped() as session:
        return [dict(row) for row in (await session.execute(text(query), values)).mappings()]


async def change(stage: Any, query: str, **values: Any) -> None:
    async with stage.databases.worker.begin_unscoped() as session:
        await session.execute(text(query), values)


async def orphan(stage: Any, *, marker: str | None = None) -> str:
    """Make a machine with our marker, or another, of which no row knows; return its id."""
    cloud = stage.tools.providers["vast"]
    offer = next(offer for offer in await cloud.list_offers() if not offer.spot)
    order = Order(
        marker=marker or stage.tools.marker("rent_01J00000000000000000000000", 1),
        offer_id=offer.offer_id,
        region_id=offer.region_id,
        spot=False,
        bid_micros_per_hour=None,
        image="ubuntu",
        disk_gb=20,
        platform_public_key=stage.tools.platform_key.public,
    )
    machine_id: str = await cloud.create(order)
    return machine_id
