"""What every reconciler owes: it finds, it skips, it succeeds, it is refused with a stale fence, it may run twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from app.kit.leases import Holding
from app.kit.reconcile import Round
from app.rentals.keeping import hibernating, interrupting, stopping, tending, waiting
from app.rentals.keeping.hibernating import hibernate
from app.rentals.keeping.live import Live
from app.rentals.placing import destroying, placement
from app.rentals.reconcilers import (
    auditing,
    checkpointing,
    destroying_machines,
    ending,
    hibernation,
    placing,
    sweeps,
    visits,
    waitlist,
    watching,
)


async def requested(stage: Any, account: Any) -> Any:
    return await stage.request(account, max_duration_seconds=60, launch={"startup_script": "echo hi"})


async def ran(stage: Any, account: Any) -> Any:
    made = await requested(stage, account)
    await stage.until_status(made.rental_id, "running")
    return made


async def overdue(stage: Any, account: Any) -> Any:
    made = await ran(stage, account)
    stage.clock.advance(100)
    return made


async def stopped(stage: Any, account: Any) -> Any:
    made = await ran(stage, account)
    await stage.stop(account, made.rental_id)
    return made


async def warned(stage: Any, account: Any) -> Any:
    made = await stage.request(account, launch={"on_interrupt": "echo saved"})
    await stage.until_status(made.rental_id, "running")
    rental, [attempt] = await stage.rental(made.rental_id), await stage.attempts(made.rental_id)
    one = Live(account, made.rental_id, 1, rental.bucket, attempt.machine_id, rental.heartbeat_at)
    ends = stage.clock.now() + timedelta(seconds=60)
    await interrupting.interrupt(stage.tools, this(stage), one, "notice", preempts_at=ends)
    return made


async def on_its_way_off(stage: Any, account: Any) -> Any:
    made = await ran(stage, account)
    async with stage.databases.api.begin(account) as session:
        await hibernate(session, account_id=account, rental_id=made.rental_id, actor="test", at=stage.clock.now())
    return made


async def find_waiting(tools: Any, round_: Round, limit: int) -> Any:
    return await waiting.find(tools, waiting.Hopeless(), round_, limit)


async def queued(stage: Any, account: Any) -> Any:
    connection = await asyncpg.connect(stage.databases.urls.admin)
    await connection.execute("UPDATE listings SET gone_at = now()")
    made = await stage.request(account, wanted={"max_price_micros_per_hour": 600_000}, wait_seconds=60)
    await connection.execute("UPDATE listings SET gone_at = NULL")
    await connection.close()
    return made


CASES = {
    "hibernating": (hibernation, hibernating.find, on_its_way_off, "hibernating"),
    "waiting": (waitlist, find_waiting, queued, "queued"),
    "placement": (placing, placement.find, requested, "provisioning"),
    "destroying": (destroying_machines, destroying.find, stopped, "stopping"),
    "ending": (ending, stopping.find_ending, overdue, "running"),
    "tending": (visits, tending.find, ran, "running"),
    "checkpointing": (checkpointing, interrupting.find, warned, "interrupted"),
}


def this(stage: Any, holding: Holding | None = None) -> Round:
    return Round(stage.clock.now(), holding or stage.holding)


@pytest.mark.parametrize("name", CASES)
async def test_it_finds_what_is_due_in_its_buckets_and_skips_the_rest(name: str, stage: Any, rich: Any) -> None:
    _, find, prepare, _ = CASES[name]
    made = await prepare(stage, await rich())
    assert [item.rental_id for item in await find(stage.tools, this(stage), 10)] == [made.rental_id]

    rental = await stage.rental(made.rental_id)
    others = {name: fence for name, fence in stage.holding.fences.items() if name != f"bucket:{rental.bucket:02d}"}
    assert await find(stage.tools, this(stage, Holding(stage.holding.owner, others)), 10) == []


@pytest.mark.parametrize("name", CASES)
async def test_a_worker_whose_lease_went_to_another_changes_nothing(name: str, stage: Any, rich: Any) -> None:
    make, _, prepare, status = CASES[name]
    made = await prepare(stage, await rich())
    stale = stage.holding
    connection = await asyncpg.connect(stage.databases.urls.admin)
    await connection.execute("UPDATE leases SET expires_at = now()")
    await connection.execute("DELETE FROM workers")
    before = await connection.fetch("SELECT * FROM rentals, attempts, holds")
    await stage.take_leases("another")
    stage.holding = stale

    outcomes = await stage.run(make)

    assert outcomes == {"stale_fence": 1}
    assert await connection.fetch("SELECT * FROM rentals, attempts, holds") == before
    await connection.close()
    assert (await stage.rental(made.rental_id)).status == status


@pytest.mark.parametrize("name", CASES)
async def test_it_succeeds_and_running_it_twice_is_harmless(name: str, stage: Any, rich: Any) -> None:
    make, find, prepare, _ = CASES[name]
    account = await rich()
    made = await prepare(stage, account)
    items = await find(stage.tools, this(stage), 10)
    reconciler = make(stage.tools)
    for _ in range(2):  # the very same item again, as after a crash between the commit and the next find
        for item in items:
            await reconciler.step(this(stage), item)
    await stage.until_status(made.rental_id, "running", "hibernated", "stopped")
    assert (await stage.run(auditing)) == {"sound": 1}
    machines = 2 if name == "checkpointing" else 1
    assert len([a for a in await stage.attempts(made.rental_id) if a.machine_id]) == machines


async def test_two_workers_with_half_the_buckets_each_place_everything_once(stage: Any, rich: Any) -> None:
    first = stage.holding
    rentals = [(await stage.request(await rich())).rental_id for _ in range(3)]
    halves = [
        Holding(first.owner, {n: f for i, (n, f) in enumerate(sorted(first.fences.items())) if i % 2 == half})
        for half in (0, 1)
    ]
    for _ in range(60):
        for half in halves:
            stage.holding = half
            await stage.run(placing)
        stage.clock.advance(1)
    assert [(await stage.rental(rental)).status for rental in rentals] == ["running"] * 3
    assert len(stage.alive()) == 3


async def test_watching_and_sweeping_find_every_cloud_and_only_held_ones_are_swept(stage: Any) -> None:
    assert set((await stage.run(watching)).elements()) == {"nothing_runs"}
    assert (await stage.run(sweeps)) == {"clean": 2}
    stage.holding = Holding("nobody", {})
    assert (await stage.run(sweeps)) == {}
