from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from app.catalog.health import measure_health, record_machine
from app.catalog.listing import Spot, Wanted
from app.catalog.placing import rank_placements
from app.catalog.scoring import Formula, LatencySource

WANTED = Wanted(families=("rtx-4090",))


@pytest.fixture
async def places(worker, cloud, make_cloud, refresh, make_offer):
    """Two clouds; the cheap one in two regions."""
    there = {"region_id": "de-berlin", "country": "DE"}
    await refresh(
        worker,
        cloud,
        [
            *(make_offer(offer_id=f"us{n}", price_micros_per_hour=300_000 + n) for n in range(5)),
            make_offer(offer_id="de", price_micros_per_hour=310_000, **there),
        ],
    )
    await refresh(worker, make_cloud("p2"), [make_offer(provider="p2", offer_id="dear", price_micros_per_hour=600_000)])


async def _measured(db, provider, region_id, latency_ms, *, at, good=True, times=1):
    async with db.begin_unscoped() as session:
        for _ in range(times):
            await record_machine(
                session, fact_id=uuid4().hex, kind="launch", provider=provider, family="rtx-4090", spot=False, good=good,
                seconds=60, at=at, region_id=region_id, latency_ms=latency_ms,
            )  # fmt: skip
        await measure_health(session, at=at)


async def _ranked(db, *, at, formula=Formula.WEIGHTED, wanted=WANTED):
    async with db.begin_unscoped() as session:
        ranking, placements = await rank_placements(session, wanted, formula, at=at)
    return ranking, {placement.listing.offer_id: placement.score for placement in placements}


async def test_as_long_as_nothing_is_measured_the_price_decides(worker, api, places, at):
    ranking, scores = await _ranked(api, at=at)
    assert list(scores) == ["us0", "us1", "us2"]
    assert ranking.considered == 5
    assert {score.latency_source for score in scores.values()} == {LatencySource.ASSUMED}


async def test_what_is_near_and_starts_may_beat_what_is_cheap(worker, api, places, at):
    await _measured(worker, "vast", "us-oregon", 400, at=at)
    await _measured(worker, "vast", "us-oregon", None, at=at, good=False, times=30)
    await _measured(worker, "p2", "us-oregon", 8, at=at)
    _, scores = await _ranked(api, at=at, formula=Formula.RATIO)
    assert list(scores) == ["dear", "de", "us0"]
    assert (scores["dear"].latency_ms, scores["dear"].candidate.launches) == (8, 1)
    assert scores["us0"].candidate.availability_ppm == 1000 * 1_000_000 // -(-51_000 // 21)


async def test_a_place_that_was_not_measured_counts_with_the_median_of_those_that_were(worker, api, places, at):
    await _measured(worker, "vast", "us-oregon", 30, at=at)
    await _measured(worker, "p2", "us-oregon", 90, at=at)
    _, scores = await _ranked(api, at=at, wanted=replace(WANTED, regions=("DE",)))
    assert (scores["de"].latency_ms, scores["de"].latency_source) == (30, LatencySource.MEDIAN)


async def test_only_what_fits_and_may_be_quoted_is_considered(worker, api, places, at):
    ranking, scores = await _ranked(api, at=at, wanted=replace(WANTED, max_price_micros_per_hour=304_168))
    assert (ranking.considered, list(scores)) == (2, ["us0", "us1"])
    ranking, scores = await _ranked(api, at=at, wanted=replace(WANTED, spot=Spot.ONLY))
    assert (ranking.considered, scores) == (0, {})
