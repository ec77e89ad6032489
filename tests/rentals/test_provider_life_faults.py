"""Every cloud, misbehaving once a machine runs: nobody pays for what can't be used, and nothing goes on costing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.rentals.reconcilers import destroying_machines, ending, placing, watching
from app.sandbox import Fault
from tests.rentals.test_faults import nothing_is_left, running, settle, watch_until_lost


@pytest.mark.parametrize("death", ["silence", "fail"])
async def test_a_dead_host_is_let_go_whether_its_cloud_calls_it_running_or_broken_and_bills_it(
    death: str, stage: Any, rich: Any
) -> None:
    account, made = await running(stage, rich)
    await stage.run(watching)
    stage.clock.advance(1000)
    await stage.run(watching)
    known = (await stage.attempts(made.rental_id))[-1].answered_at
    getattr(stage.sandbox.accidents, death)((await stage.attempts(made.rental_id))[-1].machine_id)
    stage.clock.advance(400)
    await settle(stage, account)

    await watch_until_lost(stage, made.rental_id)

    rental = await stage.rental(made.rental_id)
    assert (rental.status, rental.failure["reason"]) == ("failed", "host_lost")
    seconds = int((known - rental.running_at) / timedelta(seconds=1))
    assert (await stage.balance(account)).available == 50_000_000 - made.rate * seconds // 3600
    await stage.until_rest()
    await nothing_is_left(stage)


async def test_a_delete_that_fails_for_an_hour_is_asked_for_until_the_machine_is_gone(stage: Any, rich: Any) -> None:
    account, made = await running(stage, rich)
    fails = stage.sandbox.faults.add(Fault("delete_fails", mode="error", times=None))
    await stage.stop(account, made.rental_id)
    after = await stage.balance(account)
    for _ in range(60):
        await stage.run(destroying_machines)
        stage.clock.advance(60)
    assert len(stage.alive()) == 1
    [attempt] = await stage.attempts(made.rental_id)
    assert attempt.destroy_tries >= 50

    stage.sandbox.faults.remove(fails)
    await stage.until_rest()

    await nothing_is_left(stage)
    assert await stage.balance(account) == after


async def test_a_cloud_whose_clock_is_months_ahead_changes_nothing_of_what_is_billed(stage: Any, rich: Any) -> None:
    account, made = await running(stage, rich)
    [truth] = stage.alive()
    rental = await stage.rental(made.rental_id)
    assert abs(truth.started_at - rental.running_at) > timedelta(days=30)
    stage.clock.at = rental.running_at + timedelta(seconds=1234)
    await stage.run(watching)

    await stage.stop(account, made.rental_id)
    await stage.until_rest()

    assert (await stage.balance(account)).available == 50_000_000 - made.rate * 1234 // 3600
    await nothing_is_left(stage)


async def test_a_key_that_is_revoked_midway_stops_no_meter_and_loses_no_machine(stage: Any, rich: Any) -> None:
    account, made = await running(stage, rich)
    revoked = stage.sandbox.faults.add(Fault("unauthorized", operation="*", times=None))
    stage.clock.advance(100)
    for _ in range(5):
        await stage.run(watching)
        stage.clock.advance(60)
    assert (await stage.rental(made.rental_id)).status == "running"
    assert (await stage.stop(account, made.rental_id)).status == "stopping"
    charged = 50_000_000 - (await stage.balance(account)).available
    for _ in range(5):
        await stage.run(destroying_machines)
        stage.clock.advance(60)
    assert len(stage.alive()) == 1

    stage.sandbox.faults.remove(revoked)
    await stage.until_rest()

    await nothing_is_left(stage)
    assert 50_000_000 - (await stage.balance(account)).available == charged


async def test_a_cloud_that_is_down_for_a_day_keeps_no_meter_running_and_no_other_cloud_waiting(
    stage: Any, rich: Any
) -> None:
    account, made = await running(stage, rich)
    where = (await stage.attempts(made.rental_id))[-1].provider
    other = next(cloud for cloud in stage.tools.providers if cloud != where)
    down = stage.sandbox.faults.add(Fault("server_error", operation="*", provider=where, times=None, status=503))
    await stage.stop(account, made.rental_id)
    after = await stage.balance(account)

    elsewhere = await stage.request(account, family="h100-80gb", wanted={"providers": (other,)})
    assert (await stage.until_status(elsewhere.rental_id, "running", "failed")).status == "running"
    await stage.stop(account, elsewhere.rental_id)
    for _ in range(24):
        stage.clock.advance(3600)
        for make in (placing, destroying_machines, ending, watching):
            await stage.run(make)
    await settle(stage, account)
    assert (await stage.balance(account)).available <= after.available + elsewhere.rate
    assert [truth.provider for truth in stage.alive()] == [where]

    stage.sandbox.faults.remove(down)
    await stage.until_rest()
    await nothing_is_left(stage)
