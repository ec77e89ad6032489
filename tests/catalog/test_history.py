from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.catalog.discounts import list_spot_discounts
from app.catalog.history import (
    HISTORY_DAYS,
    Interval,
    PricesWanted,
    every_price,
    forget_old_prices,
    list_prices,
    make_months,
)
from app.kit.db import driver
from app.kit.ids import AccountId

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


async def _points(db, at, **only):
    async with db.begin_unscoped() as session:
        wanted = PricesWanted(family="rtx-4090", since=at - HOUR, until=at + 2 * HOUR, **only)
        return await list_prices(session, wanted)


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


async def test_days_are_made_of_their_hours_and_paged_like_them(worker, api, cloud, refresh, make_offer, at):
    for number, price in enumerate([500_000, 200_000, 400_000, 300_000]):
        elsewhere = make_offer(offer_id="2", region_id="de-berlin", price_micros_per_hour=price * 2)
        offers = [make_offer(price_micros_per_hour=price), elsewhere]
        await refresh(worker, cloud, offers, at=at + timedelta(hours=4 * number))
    since = datetime(2026, 3, 1, tzinfo=UTC)
    wanted = PricesWanted(
        family="rtx-4090", since=since, until=since + timedelta(days=3), interval=Interval.DAY, region_id="us-oregon"
    )
    async with api.begin_unscoped() as session:
        first, second = await list_prices(session, wanted)
        assert await list_prices(session, wanted, limit=1) == [first]
        assert await list_prices(session, wanted, after=first.position) == [second]
        assert len(await list_prices(session, replace(wanted, region_id=None))) == 4
    assert (first.hour, first.min_micros, first.median_micros, first.p90_micros) == (since, 200_000, 400_000, 500_000)
    assert (second.hour, second.min_micros) == (since + timedelta(days=1), 300_000)


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


async def test_the_spot_discount_is_measured_in_each_place_and_hour_or_unknown(
    worker, api, cloud, make_cloud, refresh, make_offer, at
):
    def both(provider, spot_price, **more):
        return [
            make_offer(provider=provider, **more),
            make_offer(provider=provider, spot=True, price_micros_per_hour=spot_price, **more),
        ]

    elsewhere = make_offer(offer_id="2", region_id="de-berlin", price_micros_per_hour=1)
    await refresh(worker, cloud, [*both("vast", 100_000), elsewhere])
    await refresh(worker, cloud, both("vast", 200_000), at=at + HOUR)
    await refresh(worker, make_cloud("p2"), both("p2", 500_000), at=at + HOUR)
    await refresh(worker, make_cloud("p3"), [make_offer(provider="p3", price_micros_per_hour=1)])
    async with api.begin_unscoped() as session:
        found = await list_spot_discounts(session, "rtx-4090", since=at - HOUR)
        assert [(one.provider, one.discount_ppm, one.hours) for one in found] == [
            (None, 500_000, 3),
            ("p2", -250_000, 1),
            ("vast", 500_000, 2),
        ]
        assert await list_spot_discounts(session, "h100-80gb", since=at - HOUR) == []


async def test_all_of_a_history_is_read_part_by_part(worker, api, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer()])
    async with worker.begin_unscoped() as session:
        await make_months(session, since=at - timedelta(days=300), until=at)
        await driver(session).execute(
            "INSERT INTO price_history SELECT family, provider, region_id, spot, hour - make_interval(hours => n), 1, 2, 3, 4 "
            "FROM price_history, generate_series(1, 7000) n"
        )
    wanted = PricesWanted(family="rtx-4090", since=at - timedelta(days=300), until=at + HOUR)
    parts = [part async for part in every_price(api, wanted, account_id=AccountId.new())]
    hours = [point.hour for part in parts for point in part]
    assert [len(part) for part in parts] == [5000, 2001]
    assert hours == sorted(hours)
    assert len(set(hours)) == 7001


async def test_months_are_made_and_dropped_by_the_worker_alone_and_only_through_its_two_functions(api, worker, at):
    for db, statement in (
        (api, "SELECT make_price_months(now(), now())"),
        (api, "SELECT drop_price_months(now())"),
        (worker, "DROP TABLE price_history"),
        (worker, "CREATE TABLE price_months.mine (id int)"),
        (worker, "DELETE FROM price_history"),
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.begin_unscoped() as session:
                await driver(session).execute(statement)
    with pytest.raises(asyncpg.RaiseError):
        async with worker.begin_unscoped() as session:
            await make_months(session, since=at, until=at + timedelta(days=2000))


async def test_a_month_is_dropped_whole_once_all_of_it_is_older_than_ninety_days(
    worker, cloud, refresh, make_offer, at
):
    await refresh(worker, cloud, [make_offer()])
    april = datetime(2026, 4, 1, tzinfo=UTC)
    async with worker.begin_unscoped() as session:
        assert await forget_old_prices(session, at=april + timedelta(days=HISTORY_DAYS, seconds=-1)) == 0
        assert await forget_old_prices(session, at=april + timedelta(days=HISTORY_DAYS)) == 1
        assert await driver(session).fetchval("SELECT count(*) FROM price_history") == 0
