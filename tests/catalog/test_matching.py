from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.catalog.avoidance import quarantine_host, release_host, remember_failure
from app.catalog.families import FAMILY_BY_SLUG, find_family
from app.catalog.health import measure_health, record_machine
from app.catalog.listing import Spot, Wanted
from app.catalog.matching import cheapest, cheapest_statement
from app.catalog.normalising import TIERS, cuda_rank
from app.catalog.polling import pause_provider, resume_provider
from app.catalog.queries import Sort, list_listings
from app.kit.db import driver

FAMILIES = {"rtx-4090": "RTX 4090", "rtx-3090": "RTX 3090", "a100-80gb": "A100", "gh200-96gb": "GH200"}
WANTED = Wanted(families=("rtx-4090",))


async def _find(db, wanted, *, at, limit=10):
    async with db.begin_unscoped() as session:
        return [match.listing.offer_id for match in await cheapest(session, wanted, at=at, limit=limit)]


def _market(make_offer, size, *, seed):
    """Offers in which few prices stand close together, so that disk, ties and filters decide."""
    chance = random.Random(seed)
    return [
        make_offer(
            offer_id=f"{number:05d}",
            gpu_name=(family := chance.choice(list(FAMILIES))),
            vram_mib=FAMILY_BY_SLUG[family].vram_gb * 1024,
            gpu_count=chance.choice([1, 1, 2, 8]),
            price_micros_per_hour=chance.choice([300_000, 300_001, 310_000, 350_000, chance.randint(1, 900_000)]),
            disk_micros_per_gb_month=chance.choice([0, 100_000, 150_000, 2_000_000]),
            spot=chance.random() < 0.5,
            region_id=chance.choice(["us-texas", "de-berlin"]),
            country=chance.choice(["US", "DE", None]),
            min_commitment_seconds=chance.choice([0, 0, 3600, 36_000]),
            cpu_cores=chance.choice([None, 8, 32]),
            ram_mib=chance.choice([None, 32_000, 256_000]),
            disk_gb_max=chance.choice([None, 50, 2000]),
            inet_down_mbps=chance.choice([None, 100, 5000]),
            cuda_max=chance.choice([None, "12.2", "12.10"]),
            reliability_ppm=chance.choice([None, 900_000, 990_000]),
            security_tier=chance.choice(TIERS),
            host_id=chance.choice([None, "h1", "h2"]),
        )
        for number in range(size)
    ]


def _fits(wanted, listing):
    minimums = [
        (wanted.min_cpu, listing.cpu_cores),
        (wanted.min_ram_gb, listing.ram_mib and listing.ram_mib * 2**20 / 10**9),
        (wanted.min_inet_mbps, listing.inet_down_mbps),
        (wanted.cuda_min and cuda_rank(wanted.cuda_min), listing.cuda_rank),
    ]
    trusted = listing.security_tier != "community"
    reliable = (
        trusted if listing.reliability_ppm is None else listing.reliability_ppm >= (wanted.min_reliability_ppm or 0)
    )
    places = {region.casefold() for region in wanted.regions or ()}
    return (
        listing.family in {family.slug for family in wanted.resolved_families()}
        and wanted.gpu_count in {None, listing.gpu_count}
        and listing.spot in wanted.spot.kinds
        and (
            wanted.max_price_micros_per_hour is None
            or listing.all_in(wanted.disk_gb) <= wanted.max_price_micros_per_hour
        )
        and (listing.disk_gb_max is None or listing.disk_gb_max >= max(wanted.disk_gb, wanted.min_disk_gb or 0))
        and all(minimum is None or (value is not None and value >= minimum) for minimum, value in minimums)
        and (wanted.min_reliability_ppm is None or reliable)
        and (wanted.regions is None or bool(places & {listing.region_id, (listing.country or "-").casefold()}))
        and (wanted.security_tier is None or TIERS.index(listing.security_tier) >= TIERS.index(wanted.security_tier))
        and listing.id not in wanted.exclude_listing_ids
    )


TRIES = {
    ("p1", "rtx-4090", False): (1500, 40),
    ("p1", "rtx-4090", True): (1500, 20),
    ("p2", "a100-80gb", True): (4000, 9),
}
"""What was measured: (provider, family, spot) → tries in thousandths, and the median of the seconds until a machine is up."""


def _measured(listing):
    return TRIES.get((listing.provider, listing.family, listing.spot), (1000, None))


def _ranked(wanted, listing):
    times = max(listing.min_commitment_seconds, wanted.expected_seconds)
    committed = -(-listing.all_in(wanted.disk_gb) * times // wanted.expected_seconds)
    return -(-committed * _measured(listing)[0] // 1000)


def _brute_force(wanted, listings, limit):
    def order(listing):
        _, p50 = _measured(listing)
        quick = (p50 is None, p50 or 0)
        return (_ranked(wanted, listing), not listing.spot, quick, -(listing.reliability_ppm or -1), listing.id)

    return [listing.id for listing in sorted((item for item in listings if _fits(wanted, item)), key=order)[:limit]]


def _maybe(strategy):
    return st.none() | strategy


WISHES = st.builds(
    Wanted,
    families=_maybe(st.lists(st.sampled_from([*FAMILIES, "no-such"]), max_size=3, unique=True).map(tuple)),
    min_vram_gb=_maybe(st.sampled_from([24, 80])),
    gpu_count=_maybe(st.sampled_from([1, 2, 8])),
    regions=_maybe(st.sampled_from([("us",), ("US-Texas",), ("de-berlin", "us"), ("zz",)])),
    spot=st.sampled_from(Spot),
    max_price_micros_per_hour=_maybe(st.sampled_from([300_000, 304_167, 400_000])),
    disk_gb=st.sampled_from([1, 20, 100, 1500]),
    min_disk_gb=_maybe(st.just(1000)),
    min_reliability_ppm=_maybe(st.sampled_from([900_000, 950_000])),
    min_cpu=_maybe(st.just(16)),
    min_ram_gb=_maybe(st.just(64)),
    min_inet_mbps=_maybe(st.just(500)),
    cuda_min=_maybe(st.sampled_from(["12.2", "12.8"])),
    security_tier=_maybe(st.sampled_from(TIERS)),
    expected_seconds=st.sampled_from([600, 3600, 86_400]),
)


@pytest.mark.parametrize("wishes", [60, pytest.param(600, marks=pytest.mark.soak)])
async def test_the_cheapest_are_those_that_brute_force_finds_for_any_wish(
    wishes, worker, api, cloud, make_cloud, refresh, make_offer, at
):
    await refresh(worker, cloud, _market(make_offer, 200, seed=5))
    for seed, name in enumerate(("p1", "p2"), start=6):
        await refresh(
            worker, make_cloud(name), [replace(offer, provider=name) for offer in _market(make_offer, 200, seed=seed)]
        )
    async with worker.begin_unscoped() as session:
        for (provider, family, spot), (tries, p50) in TRIES.items():
            await driver(session).execute(
                "INSERT INTO machine_health VALUES ($1, $2, $3, 30, 900000, $5, NULL, $4)",
                provider,
                family,
                spot,
                tries,
                p50,
            )
    everything = Wanted(gpu_count=None, spot=Spot.PREFER, disk_gb=0)
    async with api.begin_unscoped() as session:
        listed = await list_listings(session, everything, at=at, sort=Sort.PRICE, limit=1000)
    listings = [item.listing for item in listed]
    assert len(listings) == 600
    loop = asyncio.get_running_loop()

    async def found(wanted, limit):
        async with api.begin_unscoped() as session:
            return await cheapest(session, wanted, at=at, limit=limit)

    @settings(max_examples=wishes, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(WISHES, st.integers(1, 30), st.integers(0, 5))
    def agree(wanted, limit, excluded):
        wanted = replace(wanted, exclude_listing_ids=tuple(_brute_force(wanted, listings, excluded)))
        matches = asyncio.run_coroutine_threadsafe(found(wanted, limit), loop).result(30)
        assert [match.listing.id for match in matches] == _brute_force(wanted, listings, limit)
        for match in matches:
            assert match.all_in_micros_per_hour == match.listing.all_in(wanted.disk_gb)
            assert match.ranked_micros_per_hour == _ranked(wanted, match.listing)

    await asyncio.to_thread(agree)


async def test_disk_decides_where_gpus_cost_the_same(worker, api, cloud, refresh, make_offer, at):
    dear_disk = make_offer(offer_id="dear disk", price_micros_per_hour=300_000, disk_micros_per_gb_month=3_000_000)
    cheap_disk = make_offer(offer_id="cheap disk", price_micros_per_hour=310_000, disk_micros_per_gb_month=0)
    await refresh(worker, cloud, [dear_disk, cheap_disk])
    assert await _find(api, replace(WANTED, disk_gb=1), at=at) == ["dear disk", "cheap disk"]
    assert await _find(api, replace(WANTED, disk_gb=20), at=at, limit=1) == ["cheap disk"]


async def test_a_minimum_commitment_counts_as_far_as_it_goes_beyond_the_time_expected(
    worker, api, cloud, refresh, make_offer, at
):
    bound = make_offer(offer_id="bound", price_micros_per_hour=200_000, min_commitment_seconds=10 * 3600)
    free = make_offer(offer_id="free", price_micros_per_hour=400_000)
    await refresh(worker, cloud, [bound, free])
    assert await _find(api, WANTED, at=at) == ["free", "bound"]
    assert await _find(api, replace(WANTED, expected_seconds=10 * 3600), at=at) == ["bound", "free"]


async def test_a_cloud_that_fails_is_ranked_by_what_its_tries_cost_and_charged_by_its_price(
    worker, api, cloud, make_cloud, refresh, make_offer, at
):
    await refresh(worker, cloud, [make_offer(offer_id="cheap", price_micros_per_hour=300_000)])
    await refresh(worker, make_cloud("p2"), [make_offer(provider="p2", offer_id="sure", price_micros_per_hour=390_000)])
    assert await _find(api, WANTED, at=at) == ["cheap", "sure"]
    await _launch(worker, at=at, good=0, bad=1)
    assert await _find(api, WANTED, at=at) == ["cheap", "sure"]
    await _launch(worker, at=at, good=0, bad=8)
    assert await _find(api, WANTED, at=at) == ["sure", "cheap"]
    async with api.begin_unscoped() as session:
        dear = (await cheapest(session, WANTED, at=at))[1]
        ceiling = replace(WANTED, max_price_micros_per_hour=dear.all_in_micros_per_hour)
        assert [match.listing.offer_id for match in await cheapest(session, ceiling, at=at)] == ["cheap"]
    assert (dear.all_in_micros_per_hour, dear.ranked_micros_per_hour) == (304_167, -(-304_167 * 1450 // 1000))
    await _launch(worker, at=at, good=200, bad=0)
    assert await _find(api, WANTED, at=at) == ["cheap", "sure"]


async def _launch(db, *, at, good, bad):
    async with db.begin_unscoped() as session:
        for came_up in [True] * good + [False] * bad:
            await record_machine(
                session, fact_id=uuid4().hex, kind="launch", provider="vast", family="rtx-4090", spot=False, good=came_up,
                seconds=60, at=at,
            )  # fmt: skip
        await measure_health(session, at=at)


async def test_at_the_same_price_the_quicker_cloud_comes_first(worker, api, cloud, make_cloud, refresh, make_offer, at):
    await refresh(worker, make_cloud("p2"), [make_offer(provider="p2", offer_id="unknown", reliability_ppm=1_000_000)])
    await refresh(worker, cloud, [make_offer(offer_id="known")])
    assert await _find(api, WANTED, at=at) == ["unknown", "known"]
    await _launch(worker, at=at, good=1, bad=0)
    assert await _find(api, WANTED, at=at) == ["known", "unknown"]


async def test_a_price_of_a_sheet_is_not_quoted_beyond_the_sheets_own_age(worker, api, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer()])
    async with worker.begin_unscoped() as session:
        await driver(session).execute("UPDATE listings SET priced_until = $1", at + timedelta(seconds=1))
    assert await _find(api, WANTED, at=at) == ["1001"]
    assert await _find(api, WANTED, at=at + timedelta(seconds=1)) == []


async def test_what_failed_is_not_offered_until_its_time_is_over(worker, api, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer(offer_id="1"), make_offer(offer_id="2")])
    async with worker.begin_unscoped() as session:
        until = at + timedelta(minutes=5)
        await remember_failure(session, provider="vast", offer_id="1", reason="no_capacity", until=until)
        await remember_failure(session, provider="vast", offer_id="1", reason="again", until=at)
    assert await _find(api, WANTED, at=at) == ["2"]
    assert len(await _find(api, WANTED, at=until)) == 2


async def test_nothing_on_a_quarantined_host_is_offered_before_it_is_released(
    worker, api, cloud, refresh, make_offer, at
):
    await refresh(worker, cloud, [make_offer(offer_id="1", host_id="bad"), make_offer(offer_id="2", host_id=None)])
    async with worker.begin_unscoped() as session:
        await quarantine_host(session, provider="vast", host_id="bad", reason="gpu_mismatch", at=at)
    assert await _find(api, WANTED, at=at) == ["2"]
    async with worker.begin_unscoped() as session:
        assert await release_host(session, provider="vast", host_id="bad")
        assert not await release_host(session, provider="vast", host_id="bad")
    assert len(await _find(api, WANTED, at=at)) == 2


async def test_a_paused_provider_is_not_offered(worker, api, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer()])
    async with worker.begin_unscoped() as session:
        await pause_provider(session, "vast")
    assert await _find(api, WANTED, at=at) == []
    async with worker.begin_unscoped() as session:
        await resume_provider(session, "vast")
    assert await _find(api, WANTED, at=at) == ["1001"]


@pytest.fixture
async def crowd(fresh_databases, make_cloud, refresh, make_offer):
    """20,000 listings of ten clouds, a quarter of them of one family and count: the planner's temptations are all there."""
    chance = random.Random(3)
    families = ["RTX 4090", "RTX 4090", "RTX 3090", "RTX 5090", "L40S", "H100 SXM", "A100", "H200"]
    for provider in range(10):
        offers = []
        for number in range(2000):
            family = find_family(chance.choice(families))
            offer = make_offer(
                provider=f"p{provider}",
                offer_id=str(number),
                gpu_name=family.name,
                vram_mib=family.vram_gb * 1024,
                gpu_count=chance.choice([1, 1, 2, 8]),
                price_micros_per_hour=chance.randint(200_000, 2_000_000),
                disk_micros_per_gb_month=chance.randint(50_000, 200_000),
                spot=chance.random() < 0.5,
            )
            offers.append(offer)
        await refresh(fresh_databases.worker, make_cloud(f"p{provider}"), offers)
    await _analyse(fresh_databases.urls.admin)


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_the_walk_uses_its_index_and_stops_early(fresh_databases, crowd, at, plan):
    for limit in (1, 10):
        await _walked(fresh_databases, plan, limit, at=at)


async def _walked(fresh_databases, plan, limit, *, at):
    wishes = {
        "one family": WANTED,
        "a larger disk": replace(WANTED, disk_gb=500),
        "reliable": replace(WANTED, min_reliability_ppm=900_000, min_cpu=8),
        "by memory": Wanted(min_vram_gb=24, spot=Spot.PREFER),
        "below a ceiling": Wanted(
            families=("rtx-4090", "rtx-3090"), min_cpu=16, min_ram_gb=64, max_price_micros_per_hour=2_000_000
        ),
    }
    for name, wanted in wishes.items():
        statement, values = cheapest_statement(wanted, at=at, limit=limit)
        async with fresh_databases.api.begin_unscoped() as session:
            await driver(session).execute(f"SET LOCAL plan_cache_mode = {plan}")
            # Only a prepared statement has a generic plan; EXPLAIN of a statement with values plans for these values.
            await driver(session).execute(f"PREPARE walk AS {statement}")
            answer = await driver(session).fetchval(
                f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) EXECUTE walk ({', '.join(map(_literal, values))})"
            )
            await driver(session).execute("DEALLOCATE walk")
        scans = [node for node in _nodes(answer[0]["Plan"]) if node.get("Relation Name") == "listings"]
        touched = sum(
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in scans
        )
        assert "Seq Scan" not in {node["Node Type"] for node in scans}, (name, limit)
        assert touched < 1_000, (name, limit)


async def _analyse(url):
    import asyncpg

    connection = await asyncpg.connect(url)
    await connection.execute("VACUUM ANALYZE listings")
    await connection.close()


def _literal(value):
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(_literal, value))}]"
    return str(value).lower() if isinstance(value, bool | int) else f"'{value}'"


def _nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)
