from __future__ import annotations

import pytest

from app.catalog.health import measure_health, record_machine
from app.catalog.listing import Spot, Wanted
from app.catalog.normalising import listing_id
from app.catalog.queries import Sort, facets, find_listing, get_listing, list_listings
from app.kit.errors import NotFound

ALL = Wanted(gpu_count=None, spot=Spot.PREFER)


@pytest.fixture
async def market(worker, cloud, refresh, make_offer):
    offers = [
        make_offer(offer_id="a", price_micros_per_hour=500_000, reliability_ppm=990_000),
        make_offer(
            offer_id="b", price_micros_per_hour=300_000, reliability_ppm=None, country="DE", region_id="de-berlin"
        ),
        make_offer(offer_id="c", price_micros_per_hour=400_000, reliability_ppm=999_000, spot=True),
        make_offer(offer_id="d", price_micros_per_hour=6_000_000, gpu_name="H100 SXM", vram_mib=81_559, gpu_count=2),
    ]
    await refresh(worker, cloud, offers)


async def _offers(db, wanted, *, at, sort=Sort.PRICE, limit=10):
    async with db.begin_unscoped() as session:
        rows = await list_listings(session, wanted, at=at, sort=sort, limit=limit)
    return "".join(row.listing.offer_id for row in rows)


async def test_lists_are_sorted_by_all_in_price_or_reliability(market, api, at):
    assert await _offers(api, ALL, at=at) == "bcad"
    assert await _offers(api, ALL, at=at, sort=Sort.RELIABILITY) == "cdab"


async def test_lists_are_sorted_by_measured_provision_time_the_unmeasured_last(market, worker, api, at):
    async with worker.begin_unscoped() as session:
        for number, (family, spot, seconds) in enumerate([("h100-80gb", False, 30), ("rtx-4090", True, 90)]):
            await record_machine(
                session, fact_id=str(number), kind="launch", provider="vast", family=family, spot=spot, good=True,
                seconds=seconds, at=at,
            )  # fmt: skip
        await measure_health(session, at=at)
    assert (await _offers(api, ALL, at=at, sort=Sort.PROVISION_TIME)).startswith("dc")


async def test_pages_join_without_gap_or_overlap(market, api, at):
    seen, after = "", None
    while True:
        async with api.begin_unscoped() as session:
            rows = await list_listings(session, ALL, at=at, sort=Sort.PRICE, limit=1, after=after)
        if not rows:
            break
        seen += rows[0].listing.offer_id
        after = (rows[0].sort_key, rows[0].listing.id)
    assert seen == "bcad"


async def test_facets_count_what_fits_in_every_dimension(market, api, at):
    async with api.begin_unscoped() as session:
        rows = {(row.dimension, row.value): row for row in await facets(session, ALL, at=at)}
        only_spot = await facets(session, Wanted(gpu_count=None, spot=Spot.ONLY), at=at)
    assert rows["family", "rtx-4090"].listings == 3
    assert rows["family", "h100-80gb"].from_micros_per_gpu_hour == 3_000_000
    assert rows["country", "DE"].listings == 1
    assert rows["spot", "true"].listings == 1
    assert {row.value for row in only_spot if row.dimension == "family"} == {"rtx-4090"}


async def test_a_listing_is_found_by_its_id_alone(market, api):
    async with api.begin_unscoped() as session:
        assert (await get_listing(session, listing_id("vast", "a", spot=False))).provider_title == "vast"
        assert await find_listing(session, listing_id("vast", "z", spot=False)) is None
        with pytest.raises(NotFound):
            await get_listing(session, "lst_nonsense")
