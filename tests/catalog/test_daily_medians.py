from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.catalog.daily_medians import EVERYWHERE, NotDailyMedians, load_daily_medians, read_daily_medians
from app.catalog.discounts import list_spot_discounts
from app.catalog.history import PricesWanted, list_prices

HEAD = "date,provider,gpu,rental_type,usd_per_gpu_hour\n"
FILE = f"""{HEAD}2026-02-27,Vast.ai,A100 PCIe 80GB,on-demand,1.00
2026-02-27,Vast.ai,A100 SXM 80GB,on-demand,1.40
2026-02-27,Vast.ai,A100 SXM 40GB,on-demand,0.90
2026-02-27,Vast.ai,A100 SXM 80GB,spot,0.50
2026-02-28,SF Compute,A100 SXM 80GB,spot,0.123456
"""


@pytest.fixture
async def vast(worker, cloud, refresh):
    """Vast is known by its title."""
    cloud.capability = type(cloud.capability)(
        **{name: getattr(cloud.capability, name) for name in cloud.capability.__slots__} | {"title": "Vast.ai"}
    )
    await refresh(worker, cloud, [])


async def _load(db, text, *, at):
    async with db.begin_unscoped() as session:
        return await load_daily_medians(session, text, at=at)


async def _points(db, family, *, at):
    async with db.begin_unscoped() as session:
        return await list_prices(
            session, PricesWanted(family=family, since=at - timedelta(days=90), until=at + timedelta(days=1))
        )


async def test_a_day_becomes_a_point_of_each_family_provider_and_kind(worker, api, vast, at):
    loaded = await _load(worker, FILE, at=at)
    assert (loaded.points, loaded.lines, loaded.left_out) == (4, 5, {})
    points = await _points(api, "a100-80gb", at=at)
    assert [
        (point.hour.day, point.provider, point.spot, point.min_micros, point.median_micros) for point in points
    ] == [
        (27, "vast", False, 1_000_000, 1_000_000),
        (27, "vast", True, 500_000, 500_000),
        (28, "sf-compute", True, 123_456, 123_456),
    ]
    assert (points[0].p90_micros, points[0].listings, points[0].region_id) == (1_400_000, 2, EVERYWHERE)


async def test_loading_again_changes_nothing_and_a_corrected_file_corrects(worker, api, vast, at):
    await _load(worker, FILE, at=at)
    before = await _points(api, "a100-80gb", at=at)
    await _load(worker, FILE, at=at)
    assert await _points(api, "a100-80gb", at=at) == before
    await _load(worker, FILE.replace("0.123456", "0.2"), at=at)
    assert (await _points(api, "a100-80gb", at=at))[-1].min_micros == 200_000


async def test_what_cannot_be_used_is_left_out_and_counted(worker, at):
    lines = [
        "2026-02-27,Vast.ai,Voodoo 2,spot,0.1",
        "2026-02-27,Vast.ai,RTX 4090,reserved,0.1",
        "2026-02-27,...,RTX 4090,spot,0.1",
        "27.02.2026,Vast.ai,RTX 4090,spot,0.1",
        "2026-02-27,Vast.ai,RTX 4090,spot,cheap",
        "2026-02-27,Vast.ai,RTX 4090,spot,NaN",
        "2026-02-27,Vast.ai,RTX 4090",
        "2026-02-27,Vast.ai,RTX 4090,spot,0",
        "2026-02-27,Vast.ai,RTX 4090,spot,1e9",
        "2025-02-27,Vast.ai,RTX 4090,spot,0.1",
        "2026-03-02,Vast.ai,RTX 4090,spot,0.1",
    ]
    loaded = await _load(worker, HEAD + "\n".join(lines), at=at)
    assert (loaded.points, loaded.lines) == (0, 0)
    assert loaded.left_out == {
        "unknown_family": 1, "malformed": 6, "out_of_bounds": 2, "too_old": 1, "in_the_future": 1,
    }  # fmt: skip


def test_another_file_is_refused() -> None:
    with pytest.raises(NotDailyMedians, match="usd_per_gpu_hour"):
        read_daily_medians("date,provider,gpu,rental_type\n")


async def test_a_quarter_of_the_real_market_gives_prices_and_discounts(worker, api, shared):
    text = (shared / "market" / "daily-medians.csv").read_text()
    at = datetime(2026, 8, 21, 12, tzinfo=UTC)
    loaded = await _load(worker, text, at=at)
    assert set(loaded.left_out) == {"too_old"}
    assert loaded.lines + loaded.left_out["too_old"] == 6284
    points = await _points(api, "h100-80gb", at=at)
    assert {point.provider for point in points} >= {"vast-ai", "runpod", "lambda"}
    assert all(point.min_micros <= point.median_micros <= point.p90_micros for point in points)
    async with api.begin_unscoped() as session:
        overall, *by_provider = await list_spot_discounts(session, "h100-80gb", since=at - timedelta(days=90))
    assert by_provider
    assert 0 < overall.discount_ppm < 900_000
