from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from app.catalog.history import HISTORY_DAYS, forget_old_prices, list_prices, spot_discount_ppm
from app.kit.db import driver

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


async def _points(db, at, **only):
    async with db.begin_unscoped() as session:
        return await list_prices(session, family="rtx-4090", since=at - HOUR, until=at + 2 * HOUR, **only)


async def test_an_hour_keeps_its_minimum_and_the_last_median_and_p90_per_gpu(
    worker, api, cloud, refresh, make_offer, at
):
    def offers(*prices):
        return [make_offer(offer_id=str(number), price_micros_per_hour=price) for number, price in enumerate(prices)]

    two_gpus = make_offer(offer_id="two", gpu_count=2, price_micros_per_hour=600_001)
    await refresh(worker, cloud, [*offers(200_000, 400_000), two_gpus])
    await refresh(worker, cloud, offers(*range(310_000, 410_000, 10_000)), at=at + MINUTE)
    (point,) = await _points(api, at)
    assert (point.min_micros, point.median_micros, point.p90_micros) == (200_000, 350_000, 390_000)
    assert (point.hour, point.listings) == (at, 10)


async def test_clouds_that_answer_at_once_in_a_new_month_make_its_partition_once(
    worker, make_cloud, refresh, make_offer
):
    names = [f"p{number}" for number in range(8)]
    results = await asyncio.gather(*(refresh(worker, make_cloud(name), [make_offer(provider=name)]) for name in names))
    assert [result.status for result in results] == ["refreshed"] * 8
    async with worker.begin_unscoped() as session:
        assert await driver(session).fetchval("SELECT count(*) FROM price_history") == 8


async def test_each_hour_region_and_kind_stands_apart(worker, api, cloud, refresh, make_offer, at):
    spot = make_offer(spot=True, price_micros_per_hour=200_000)
    there = make_offer(offer_id="2", region_id="de-berlin", price_micros_per_hour=300_001, gpu_count=2)
    await refresh(worker, cloud, [make_offer(), spot, there])
    await refresh(worker, cloud, [make_offer()], at=at + HOUR)
    assert len(await _points(api, at)) == 4
    assert [point.min_micros for point in await _points(api, at, region_id="de-berlin")] == [150_001]
    assert [point.min_micros for point in await _points(api, at, spot=True)] == [200_000]


async def test_the_spot_discount_is_measured_or_unknown(worker, api, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer(), make_offer(spot=True, price_micros_per_hour=100_000)])
    async with api.begin_unscoped() as session:
        assert await spot_discount_ppm(session, "rtx-4090", since=at - HOUR) == 750_000
        assert await spot_discount_ppm(session, "h100-80gb", since=at - HOUR) is None


async def test_a_month_is_dropped_whole_once_all_of_it_is_older_than_ninety_days(
    worker, cloud, refresh, make_offer, at
):
    await refresh(worker, cloud, [make_offer()])
    april = datetime(2026, 4, 1, tzinfo=UTC)
    async with worker.begin_unscoped() as session:
        assert await forget_old_prices(session, at=april + timedelta(days=HISTORY_DAYS, seconds=-1)) == 0
        assert await forget_old_prices(session, at=april + timedelta(days=HISTORY_DAYS)) == 1
        assert await driver(session).fetchval("SELECT count(*) FROM price_history") == 0
