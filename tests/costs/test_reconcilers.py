"""What every reconciler owes: it finds, it skips, it succeeds, it is refused with a stale fence, it may run twice."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from app.costs.reconcilers import fetching_costs, measuring, noting, reconciling
from app.kit.leases import Holding
from app.kit.reconcile import Round

STATE = "SELECT * FROM machine_costs ORDER BY machine_id", "SELECT * FROM cost_reconciliations ORDER BY provider, day"
GONE, NOTED, NOTHING = "gone", "noted", "nothing"
CASES = {
    "noting": (noting, GONE, {"noted": 1}, "bucket:00"),
    "fetching": (fetching_costs, NOTED, {"exact": 1}, "provider:vast"),
    "reconciling": (reconciling, NOTHING, {"agrees": 1, "no_books": 1}, "provider:"),
}


async def prepared(stage: Any, account: Any, ran: Any, situation: str) -> None:
    if situation != NOTHING:
        await ran(account)
    if situation == NOTED:
        await stage.run(noting)
        stage.clock.advance(1200)


async def state(stage: Any) -> list[Any]:
    connection = await asyncpg.connect(stage.databases.urls.admin)
    found = [await connection.fetch(query) for query in STATE]
    await connection.close()
    return found


@pytest.mark.parametrize("name", CASES)
async def test_it_finds_what_is_due_and_skips_what_another_holds(name: str, stage: Any, rich: Any, ran: Any) -> None:
    make, situation, outcomes, lease = CASES[name]
    await prepared(stage, await rich(), ran, situation)
    reconciler = make(stage.tools)
    assert len(await reconciler.find(Round(stage.clock.now(), stage.holding), 10)) == sum(outcomes.values())
    others = {name: fence for name, fence in stage.holding.fences.items() if not name.startswith(lease)}
    holding = Holding(stage.holding.owner, others)
    assert list(await reconciler.find(Round(stage.clock.now(), holding), 10)) == []


@pytest.mark.parametrize("name", CASES)
async def test_it_succeeds_and_running_it_twice_is_harmless(name: str, stage: Any, rich: Any, ran: Any) -> None:
    make, situation, outcomes, _ = CASES[name]
    await prepared(stage, await rich(), ran, situation)
    this = Round(stage.clock.now(), stage.holding)
    items = await make(stage.tools).find(this, 10)
    assert await stage.run(make) == outcomes
    done = await state(stage)
    for item in items:  # the very same again, as after a crash between the commit and the next find
        await make(stage.tools).step(this, item)
    assert await state(stage) == done
    assert await stage.run(measuring) == {"sound": 1}


@pytest.mark.parametrize("name", CASES)
async def test_a_worker_whose_lease_went_to_another_changes_nothing(name: str, stage: Any, rich: Any, ran: Any) -> None:
    make, situation, outcomes, _ = CASES[name]
    await prepared(stage, await rich(), ran, situation)
    stale, before = stage.holding, await state(stage)
    connection = await asyncpg.connect(stage.databases.urls.admin)
    await connection.execute("UPDATE leases SET expires_at = now()")
    await connection.execute("DELETE FROM workers")
    await connection.close()
    await stage.take_leases("another")
    stage.holding = stale
    assert await stage.run(make) == {"stale_fence": sum(outcomes.values())}
    assert await state(stage) == before


async def test_figures_are_shown_by_the_worker_with_the_first_bucket_alone(stage: Any) -> None:
    assert await stage.run(measuring) == {"sound": 1}
    stage.holding = Holding("nobody", {})
    assert await stage.run(measuring) == {}
