from __future__ import annotations

from datetime import timedelta

from app.catalog.health import MEASURED_DAYS, measure_health, record_machine
from app.catalog.normalising import listing_id
from app.catalog.queries import get_listing


async def _record(session, number, *, at, kind="launch", good=True, seconds=60):
    await record_machine(
        session, fact_id=f"att_{number}", kind=kind, provider="vast", family="rtx-4090", spot=False, good=good,
        seconds=seconds, at=at,
    )  # fmt: skip


async def test_listings_show_what_was_measured_of_their_like(worker, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer()])
    async with worker.begin_unscoped() as session:
        for number, seconds in enumerate([30, 60, 90]):
            await _record(session, number, at=at, seconds=seconds)
        await _record(session, 3, at=at, good=False, seconds=300)
        await _record(session, 3, at=at, good=True, seconds=1)
        await _record(session, 4, at=at, kind="run", good=False, seconds=36 * 3600)
        await measure_health(session, at=at)
        listing = await get_listing(session, listing_id("vast", "1001", spot=False))
    assert (listing.launch_success_ppm, listing.provision_seconds_p50) == (750_000, 60)
    assert listing.interruptions_per_hour_ppm == 1_000_000 // 36


async def test_a_few_machine_hours_say_nothing_about_interruptions(worker, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer()])
    async with worker.begin_unscoped() as session:
        await _record(session, 1, at=at, kind="run", good=False, seconds=3600)
        await measure_health(session, at=at)
        listing = await get_listing(session, listing_id("vast", "1001", spot=False))
    assert (listing.launch_success_ppm, listing.interruptions_per_hour_ppm) == (None, None)


async def test_what_is_older_than_the_days_measured_is_forgotten(worker, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer()])
    async with worker.begin_unscoped() as session:
        await _record(session, 1, at=at)
        await measure_health(session, at=at)
        await measure_health(session, at=at + timedelta(days=MEASURED_DAYS, seconds=1))
        listing = await get_listing(session, listing_id("vast", "1001", spot=False))
    assert listing.launch_success_ppm is None
