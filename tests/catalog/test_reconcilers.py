from __future__ import annotations

from datetime import timedelta

import pytest

from app.catalog.avoidance import remember_failure
from app.catalog.normalising import listing_id
from app.catalog.queries import find_listing
from app.catalog.reconcilers import GONE_KEPT, refresh_reconciler, tidy_reconciler
from app.kit.db import driver
from app.kit.leases import Holding
from app.kit.reconcile import Round, Runner

MINUTE = timedelta(minutes=1)


def _round(at):
    return Round(at=at, holding=Holding(owner="w1", fences={}))


@pytest.fixture
def runner(worker, cloud, make_offer):
    cloud.answer = [make_offer()]
    return Runner(refresh_reconciler(worker, {"vast": cloud}))


async def test_refresh_finds_what_is_due_succeeds_and_skips_it_when_run_twice(runner, cloud, at):
    assert await runner.run_once(_round(at)) == {"refreshed": 1}
    assert await runner.run_once(_round(at)) == {}
    assert await runner.run_once(_round(at + MINUTE)) == {"refreshed": 1}
    assert cloud.polls == 2


async def test_refresh_of_a_poll_that_another_worker_took_does_nothing(runner, worker, cloud, at):
    reconciler = runner.reconciler
    (found,) = await reconciler.find(_round(at), 10)
    await reconciler.step(_round(at), found)
    assert await reconciler.step(_round(at), found) == "taken"
    assert cloud.polls == 1


async def test_a_worker_that_was_paused_during_its_poll_is_refused(runner, worker, cloud, refresh, make_offer, at):
    class Paused(type(cloud)):
        async def list_offers(self):
            offers = await super().list_offers()
            await refresh(worker, cloud, [], at=at + MINUTE)
            return offers

    slow = Paused("vast")
    slow.answer = [make_offer()]
    assert await Runner(refresh_reconciler(worker, {"vast": slow})).run_once(_round(at)) == {"superseded": 1}
    async with worker.begin_unscoped() as session:
        assert await find_listing(session, listing_id("vast", "1001", spot=False)) is None


async def test_tidy_deletes_what_is_long_over_and_nothing_more(worker, cloud, refresh, make_offer, at):
    await refresh(worker, cloud, [make_offer(), make_offer(offer_id="2")])
    await refresh(worker, cloud, [make_offer()], at=at + MINUTE)
    async with worker.begin_unscoped() as session:
        await remember_failure(session, provider="vast", offer_id="2", reason="no_capacity", until=at)
    runner = Runner(tidy_reconciler(worker))
    for later, left in ((timedelta(), 2), (GONE_KEPT, 2), (GONE_KEPT + 2 * MINUTE, 1), (GONE_KEPT + 2 * MINUTE, 1)):
        assert await runner.run_once(_round(at + later)) == {"tidied": 1}
        async with worker.begin_unscoped() as session:
            assert await driver(session).fetchval("SELECT count(*) FROM listings") == left
    async with worker.begin_unscoped() as session:
        assert await driver(session).fetchval("SELECT count(*) FROM listing_failures") == 0


async def test_tidy_makes_the_month_ahead_and_drops_what_is_over_but_waits_for_whoever_reads(
    worker, api, cloud, refresh, make_offer, at
):
    async def months():
        async with worker.begin_unscoped() as session:
            rows = await driver(session).fetch(
                "SELECT relname FROM pg_class WHERE relnamespace = 'price_months'::regnamespace AND relkind = 'r' ORDER BY 1"
            )
        return [row["relname"] for row in rows]

    runner = Runner(tidy_reconciler(worker))
    await refresh(worker, cloud, [make_offer()])
    assert await runner.run_once(_round(at)) == {"tidied": 1}
    assert await months() == ["m2026_03", "m2026_04"]
    later = at + timedelta(days=125)
    async with api.begin_unscoped() as reading:
        assert await driver(reading).fetchval("SELECT count(*) FROM price_history") == 1
        assert await runner.run_once(_round(later)) == {"months_are_read": 1}
    assert await runner.run_once(_round(later)) == {"tidied": 1}
    assert await months() == ["m2026_04", "m2026_07", "m2026_08"]
