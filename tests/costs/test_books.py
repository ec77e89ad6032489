"""Each finished day beside the clouds' books."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.costs import compare_day
from app.costs.books import CATCH_UP_DAYS, DayAt, find
from app.costs.reconcilers import reconciling
from app.kit.reconcile import Round
from app.providers import Unavailable
from app.rentals.reconcilers import sweeps
from app.sandbox.faults import Fault
from tests.costs.rows import change, orphan, rows


async def reports(stage):
    found = await rows(stage, "SELECT provider, day, ok, report FROM cost_reconciliations ORDER BY day, provider")
    return {(row["provider"], row["day"]): (row["ok"], row["report"]) for row in found}


async def compared(stage, day):
    return await compare_day(stage.tools, "vast", day, at=stage.clock.now())


async def test_day_on_which_all_was_as_we_know_it_agrees(stage, rich, ran):
    account = await rich()
    today = stage.clock.now().date()
    await ran(account, seconds=7200)
    stage.sandbox.faults.add(Fault("wrong_gpu"))
    await ran(account, seconds=1200)
    stage.clock.advance(86_400)
    found = await compared(stage, today)
    assert found.ok, found.document()
    assert found.machines == 3
    assert found.least <= found.theirs <= found.most
    assert found.theirs == sum(truth.cost_micros for truth in stage.sandbox.truth)


async def test_machine_that_runs_over_midnight_counts_on_each_day_for_its_part(stage, rich):
    account = await rich()
    today = stage.clock.now().date()
    made = await stage.request(account)
    await stage.until_status(made.rental_id, "running")
    stage.clock.advance(20 * 3600)
    first, second = await compared(stage, today), await compared(stage, today + timedelta(days=1))
    assert (first.ok, second.ok) == (True, True)
    (truth,) = stage.sandbox.truth
    assert abs(first.theirs + second.theirs - truth.cost_micros) < truth.price_micros_per_hour // 5
    assert 0 < second.theirs < first.theirs


async def test_machine_that_nobody_knows_is_told_as_unknown(stage):
    today = stage.clock.now().date()
    machine_id = await orphan(stage)
    stage.clock.advance(3600)
    found = await compared(stage, today)
    assert [(one.kind, one.machine_id) for one in found.differences] == [("unknown", machine_id)]
    await orphan(stage, marker="somebody-elses")
    await stage.run(sweeps)
    stage.clock.advance(3600)
    found = await compared(stage, today)
    assert found.ok, "the sweep knows it by now, and strangers' machines are only counted"
    assert (found.machines, found.foreign, found.foreign_micros > 0) == (1, 1, True)


async def test_machine_dearer_than_it_can_have_been_or_not_in_the_books_is_told(stage, rich, ran):
    today = stage.clock.now().date()
    rental_id = await ran(await rich(), seconds=7200)
    stage.clock.advance(3600)
    await change(stage, "UPDATE attempts SET listing = listing || jsonb_build_object('all_in_micros_per_hour', 1000)")
    found = await compared(stage, today)
    assert [(one.kind, one.rental_id) for one in found.differences] == [("amount", rental_id)]
    await change(stage, "UPDATE attempts SET machine_id = 'elsewhere'")
    found = await compared(stage, today)
    assert [one.kind for one in found.differences] == ["missing", "unknown"]


async def test_days_are_compared_once_twelve_hours_after_their_end(stage):
    today = stage.clock.now().date()

    async def due():
        return await find(stage.tools, Round(stage.clock.now(), stage.holding), 100)

    stage.sandbox.faults.add(Fault("server_error", "charges", times=None, provider="vast"))
    with pytest.raises(Unavailable):
        await compared(stage, today - timedelta(days=1))
    stage.sandbox.faults.clear()
    assert await reports(stage) == {}, "nothing is concluded while the cloud does not answer"

    yesterday = today - timedelta(days=1)
    assert [one.day for one in await due()] == [yesterday, yesterday]
    assert await stage.run(reconciling) == {"agrees": 1, "no_books": 1}
    assert await stage.run(reconciling) == {}
    assert (await reports(stage))[("lambda", yesterday)] == (None, {"books": False})
    stage.clock.advance(24 * 3600 - 1)
    assert await due() == []
    stage.clock.advance(1)
    assert await due() == [DayAt("lambda", today), DayAt("vast", today)]
    await orphan(stage)  # in the books of that day, and unknown
    stage.clock.advance(24 * 3600)
    assert await stage.run(reconciling) == {"differs": 1, "agrees": 1, "no_books": 2}
    assert await due() == []
    stage.clock.advance(6 * 3600)
    assert [one.provider for one in await due()] == ["vast"], "what differs is looked at again while books may lag"
    assert await stage.run(reconciling) == {"differs": 1}
    stage.clock.advance(86_400 * 40)
    assert len(await due()) == 2 * CATCH_UP_DAYS
