from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from app.catalog.listing import Spot, Wanted
from app.catalog.matching import cheapest
from app.catalog.normalising import listing_id
from app.catalog.queries import Sort, facets, find_listing, list_listings, list_providers
from app.catalog.refreshing import refresh_due, refresh_provider
from app.kit.db import driver
from app.providers.errors import Unauthorized, Unavailable

MINUTE = timedelta(minutes=1)
ID = listing_id("vast", "1001", spot=False)


async def _listing(db, listing_id=ID):
    async with db.begin_unscoped() as session:
        return await find_listing(session, listing_id)


async def _provider(db):
    async with db.begin_unscoped() as session:
        return (await list_providers(session))[0]


async def test_a_new_offer_becomes_a_listing(worker, cloud, refresh, make_offer, at):
    result = await refresh(worker, cloud, [make_offer()])
    listing = await _listing(worker)
    assert (result.status, result.listings, result.written, result.gone) == ("refreshed", 1, 1, 0)
    assert (listing.family, listing.model, listing.region_id) == ("rtx-4090", "RTX 4090 24GB", "us-oregon")
    assert listing.first_seen_at == listing.observed_at == at
    assert listing.is_available(at)
    assert listing.all_in(20) == 404_167


async def test_being_seen_again_writes_no_listing_but_makes_it_fresh(worker, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer()])
    result = await refresh(worker, cloud, [make_offer()], at=at + MINUTE)
    listing = await _listing(worker)
    assert (result.written, result.gone) == (0, 0)
    assert (listing.changed_at, listing.observed_at) == (at, at + MINUTE)


async def test_a_changed_price_is_taken_over_under_the_same_id(worker, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer()])
    result = await refresh(worker, cloud, [make_offer(price_micros_per_hour=390_000)], at=at + MINUTE)
    listing = await _listing(worker)
    assert result.written == 1
    assert (listing.price_micros_per_hour, listing.first_seen_at, listing.changed_at) == (390_000, at, at + MINUTE)


async def test_an_offer_not_seen_in_a_successful_answer_is_gone_and_comes_back_under_its_id(
    worker, cloud, refresh, make_offer, at
):
    await refresh(worker, cloud, [make_offer(), make_offer(offer_id="2")])
    result = await refresh(worker, cloud, [make_offer(offer_id="2")], at=at + MINUTE)
    gone = await _listing(worker)
    assert (result.gone, gone.gone_at, gone.is_available(at + MINUTE)) == (1, at + MINUTE, False)
    await refresh(worker, cloud, [make_offer()], at=at + 2 * MINUTE)
    back = await _listing(worker)
    assert (back.gone_at, back.first_seen_at) == (None, at)


async def test_one_clouds_answer_touches_no_other_clouds_listings(worker, make_cloud, refresh, make_offer):
    await refresh(worker, make_cloud("vast"), [make_offer()])
    await refresh(worker, make_cloud("lambda"), [])
    assert (await _listing(worker)).gone_at is None


@pytest.mark.parametrize("failure", [Unavailable("500"), Unauthorized("no"), TimeoutError(), RuntimeError("a bug\x00")])
async def test_a_dead_cloud_makes_its_listings_older_and_nothing_else(worker, cloud, refresh, make_offer, at, failure):
    await refresh(worker, cloud, [make_offer()])
    cloud.answer = failure
    result = await refresh_provider(worker, cloud, at=at + MINUTE)
    listing, provider = await _listing(worker), await _provider(worker)
    assert result.status == "failed"
    assert type(failure).__name__ in result.error
    assert (listing.gone_at, listing.observed_at) == (None, at)
    assert (provider.consecutive_failures, provider.health(at + MINUTE), provider.success_ppm) == (
        1,
        "failing",
        500_000,
    )


async def test_after_an_hour_of_silence_nothing_is_quoted(worker, api, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer()])
    wanted = Wanted(families=("rtx-4090",), max_age_seconds=10**6)
    async with api.begin_unscoped() as session:
        assert len(await cheapest(session, wanted, at=at + 60 * MINUTE)) == 1
        assert await cheapest(session, wanted, at=at + 60 * MINUTE + timedelta(seconds=1)) == []
    assert not (await _listing(worker)).is_available(at + 61 * MINUTE)
    assert (await _provider(worker)).health(at + 61 * MINUTE) == "stale"


async def test_nobody_ever_sees_half_of_a_refresh(worker, api, cloud, refresh, make_offer, at):
    """Two worlds that share no price and only half of their offers; whoever reads sees all of one, whatever he reads."""
    worlds = {
        300_000: [make_offer(offer_id=str(n), price_micros_per_hour=300_000) for n in range(100)],
        500_000: [make_offer(offer_id=str(n), price_micros_per_hour=500_000) for n in range(50, 200)],
    }
    await refresh(worker, cloud, worlds[300_000])
    seen: Counter[int] = Counter()
    changing = True

    async def change():
        nonlocal changing
        try:
            for number in range(1, 25):
                await refresh(worker, cloud, worlds[(300_000, 500_000)[number % 2]], at=at + timedelta(seconds=number))
        finally:
            changing = False

    async def look():
        wanted = Wanted(families=("rtx-4090",))
        while changing:
            async with api.begin_unscoped() as session:
                listed = await list_listings(session, wanted, at=at, sort=Sort.PRICE, limit=2000)
            prices = {one.listing.price_micros_per_hour for one in listed}
            (price,) = prices
            assert len(listed) == len(worlds[price])
            seen[price] += 1
            async with api.begin_unscoped() as session:
                best = await cheapest(session, wanted, at=at, limit=50)
            assert len({match.listing.price_micros_per_hour for match in best}) == 1
            async with api.begin_unscoped() as session:
                counted = await facets(session, wanted, at=at)
            (family,) = (one for one in counted if one.dimension == "family")
            assert family.listings == len(worlds[family.from_micros_per_gpu_hour])

    await asyncio.gather(change(), look(), look())
    assert min(seen.values()) > 0
    assert len(seen) == 2


async def test_a_refresh_that_is_broken_off_anywhere_has_written_all_or_nothing(worker, api, cloud, make_offer, at):
    """Broken off after one step of its loop, after two, and so on, until it comes to its end."""
    finished, steps, price = False, 0, 300_000
    while not finished:
        steps, price = steps + 1, price + 1
        cloud.answer = [make_offer(offer_id=str(n), price_micros_per_hour=price) for n in range(steps % 3 + 1)]
        poll = asyncio.ensure_future(refresh_provider(worker, cloud, at=at + timedelta(seconds=steps)))
        for _ in range(steps):
            await asyncio.sleep(0.001)
        finished = poll.done()
        poll.cancel()
        await asyncio.wait([poll])
        async with api.begin_unscoped() as session:
            listed = await list_listings(session, Wanted(families=("rtx-4090",)), at=at, sort=Sort.PRICE, limit=9)
            told = {state.listings for state in await list_providers(session)}
        assert len({one.listing.price_micros_per_hour for one in listed}) <= 1
        assert told <= {len(listed)}
    assert len(listed) == steps % 3 + 1
    assert steps > 2


async def test_malformed_offers_are_left_out_and_counted(worker, cloud, refresh, make_offer):
    offers = [
        make_offer(),
        make_offer(offer_id="2", vram_mib=49_140),
        make_offer(offer_id="3", price_micros_per_hour=0),
    ]
    result = await refresh(worker, cloud, offers)
    assert result.left_out == {"unknown_family": 1, "price_out_of_bounds": 1}
    assert (await _provider(worker)).left_out == result.left_out
    assert (await _provider(worker)).listings == 1


async def test_an_answer_that_comes_late_is_refused(worker, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer(price_micros_per_hour=390_000)], at=at + MINUTE)
    late = await refresh(worker, cloud, [make_offer()], at=at)
    assert late.status == "superseded"
    assert (await _listing(worker)).price_micros_per_hour == 390_000


async def test_spot_and_on_demand_of_one_offer_are_two_listings(worker, api, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer(), make_offer(spot=True, price_micros_per_hour=200_000)])
    async with api.begin_unscoped() as session:
        found = await cheapest(session, Wanted(families=("rtx-4090",), spot=Spot.PREFER), at=at)
    assert [match.listing.spot for match in found] == [True, False]


async def test_a_poll_that_is_due_is_made_by_one_worker_only(worker, cloud, make_offer, at):
    cloud.answer = [make_offer()]
    rounds = await asyncio.gather(*(refresh_due(worker, [cloud], at=at) for _ in range(5)))
    assert cloud.polls == 1
    assert sorted(len(results) for results in rounds) == [0, 0, 0, 0, 1]
    assert await refresh_due(worker, [cloud], at=at + timedelta(seconds=59)) == []
    assert len(await refresh_due(worker, [cloud], at=at + MINUTE)) == 1


async def test_a_dead_cloud_does_not_keep_others_from_being_polled(worker, make_cloud, make_offer, at):
    dead, alive = make_cloud("dead"), make_cloud("vast")
    dead.answer, alive.answer = RuntimeError("boom"), [make_offer()]
    results = await refresh_due(worker, [dead, alive], at=at)
    assert [(result.provider, result.status) for result in results] == [("dead", "failed"), ("vast", "refreshed")]


async def test_the_api_role_cannot_write_listings(api, worker, cloud, refresh, make_offer):
    await refresh(worker, cloud, [make_offer()])
    with pytest.raises(Exception, match="permission denied"):
        async with api.begin_unscoped() as session:
            await driver(session).execute("DELETE FROM listings")
