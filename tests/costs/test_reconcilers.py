"""What every reconciler owes: it finds, it skips, it succeeds, it is refused with a stale fence, it may run twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import asyncpg
import pytest

from app.costs.reconcilers import fetching_costs, measuring, noting, reconciling
from app.kit.leases import Holding, StaleFenceError
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
async def test_it_finds_skips_is_refused_when_stale_succeeds_and_may_run_twice(
    name: str, stage: Any, rich: Any, ran: Any
) -> None:
    make, situation, outcomes, lease = CASES[name]
    await prepared(stage, await rich(), ran, situation)
    reconciler, count = make(stage.tools), sum(outcomes.values())
    at, mine = stage.clock.now(), stage.holding

    items = await reconciler.find(Round(at, mine), 10)
    assert len(items) == count
    others = {name: fence for name, fence in mine.fences.items() if not name.startswith(lease)}
    assert list(await reconciler.find(Round(at, Holding(mine.owner, others)), 10)) == []

    before = await state(stage)
    await lose_leases(stage)
    for item in items:  # the lease went to another worker between the find and the step
        with pytest.raises(StaleFenceError):
            await reconciler.step(Round(at, mine), item)
    assert await state(stage) == before

    this = Round(at, await stage.take_leases("another"))
    assert Counter([await reconciler.step(this, item) for item in items]) == outcomes
    done = await state(stage)
    assert done != before
    for item in items:  # the very same again, as after a crash between the commit and the next find
        await reconciler.step(this, item)
    assert await state(stage) == done
    assert list(await reconciler.find(this, 10)) == ([] if name != "noting" else items)
    assert await stage.run(measuring) == {"sound": 1}
    stage.holding = Holding("nobody", {})
    assert await stage.run(measuring) == {}


async def lose_leases(stage: Any) -> None:
    connection = await asyncpg.connect(stage.databases.urls.admin)
    await connection.execute("UPDATE leases SET expires_at = now()")
    await connection.execute("DELETE FROM workers")
    await connection.close()
    await stage.take_leases("another")
