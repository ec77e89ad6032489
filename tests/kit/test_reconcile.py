"""The runner: lanes that do not wait on each other, and items that are left alone for a while."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import NamedTuple

from app.kit.leases import Holding
from app.kit.reconcile import Reconciler, Round, Runner

THIS = Round(datetime(2026, 3, 1, tzinfo=UTC), Holding("worker", {}))


class Item(NamedTuple):
    name: str
    cloud: str


async def test_a_thousand_items_of_a_slow_lane_keep_no_other_lane_waiting() -> None:
    released, done = asyncio.Event(), []

    async def find(this: Round, limit: int) -> list[Item]:
        return [*(Item(f"slow {n}", "slow") for n in range(1000)), Item("quick", "quick")]

    async def step(this: Round, item: Item) -> str:
        if item.cloud == "slow":
            await released.wait()
        done.append(item.name)
        return "done"

    runner = Runner(Reconciler("test", 1.0, 2000, find, step, concurrency=4, lane=lambda item: item.cloud))
    steps = await runner.begin(THIS)
    await asyncio.sleep(0.1)

    assert done == ["quick"]
    released.set()
    await asyncio.gather(*steps)
    assert len(done) == 1001


async def test_a_lane_has_as_many_places_as_it_says() -> None:
    at_once, most = 0, 0

    async def find(this: Round, limit: int) -> list[int]:
        return list(range(20))

    async def step(this: Round, item: int) -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return "done"

    runner = Runner(Reconciler("test", 1.0, 100, find, step, concurrency=3, lane=lambda item: "one"))
    assert await runner.run_once(THIS) == {"done": 20}
    assert most == 3


async def test_an_item_that_failed_is_left_alone_for_longer_each_time() -> None:
    now, tries = 0.0, []

    async def find(this: Round, limit: int) -> list[str]:
        return ["broken"]

    async def step(this: Round, item: str) -> str:
        tries.append(now)
        raise ValueError("no")

    runner = Runner(Reconciler("test", 1.0, 10, find, step), monotonic=lambda: now)
    for second in range(16):
        now = float(second)
        await runner.run_once(THIS)

    assert tries == [0, 2, 6, 14]
