"""Machines that are taken back: outbid, with notice, without a word. The rental lives on elsewhere, the gap costs nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from fractions import Fraction
from typing import Any

import asyncpg

from app.catalog import Spot
from app.kit.clock import whole_seconds
from app.rentals.asking.asking import Chosen
from app.rentals.keeping.hibernating import hibernate
from app.rentals.placing.placement import ATTEMPTS_MAX
from app.rentals.reconcilers import placing, watching
from app.rentals.runs import list_runs
from app.sandbox import Fault
from tests.rentals.dying import tidy_market
from tests.rentals.spot import charged, end, events_of, machine_of, ran, running_spot, vanish, watch_until
from tests.rentals.test_faults import nothing_is_left, settle


async def test_an_outbid_machine_is_replaced_on_another_host_and_its_disk_let_go(stage: Any, rich: Any) -> None:
    account, made = await running_spot(stage, rich)
    stage.clock.advance(600)
    await stage.run(watching)
    stage.clock.advance(25)
    stage.sandbox.accidents.outbid(await machine_of(stage, made.rental_id))
    await asyncio.sleep(0.1)

    assert (await stage.run(watching))["interrupted"] == 1
    rental = await stage.rental(made.rental_id)
    assert (rental.status, rental.stage, rental.interruptions) == ("interrupted", "matching", 1)
    assert (await stage.balance(account)).reserved > 0
    stage.clock.advance(100)
    await stage.until_status(made.rental_id, "running")
    await stage.until_rest()

    first, second = (Chosen.restored(attempt.listing) for attempt in await stage.attempts(made.rental_id))
    assert first.host_id != second.host_id
    assert (first.provider, first.region_id) != (second.provider, second.region_id)
    assert (await stage.rental(made.rental_id)).rate == made.rate
    assert [truth.id for truth in stage.alive()] == [await machine_of(stage, made.rental_id)]
    stage.clock.advance(60)
    await end(stage, account, made)
    told = await events_of(stage, made.rental_id)
    assert [name for name in told if "interrupted" in name or "recovered" in name] == [
        "rental.interrupted",
        "rental.recovered",
    ]
    assert await facts(stage) == [
        (because == "user", seconds, True) for because, seconds in await ran(stage, account, made.rental_id)
    ]


async def facts(stage: Any) -> list[tuple[bool, int, bool]]:
    """What the catalog was told of machines that ran: good, for how long, spot."""
    connection = await asyncpg.connect(stage.databases.urls.admin)
    rows = await connection.fetch("SELECT good, seconds, spot FROM machine_facts WHERE kind = 'run' ORDER BY good")
    await connection.close()
    return [tuple(row) for row in rows]


async def test_every_gap_is_free_however_late_it_is_noticed_and_whatever_was_settled(stage: Any, rich: Any) -> None:
    account, made = await running_spot(stage, rich)
    for number in (1, 2):
        stage.clock.advance(700)
        await stage.run(watching)
        pulse = (await stage.rental(made.rental_id)).heartbeat_at
        await vanish(stage, made.rental_id)
        stage.clock.advance(100)
        await settle(stage, account)
        await watch_until(stage, made.rental_id, "interrupted")
        await tidy_market(stage)
        rental = await stage.until_status(made.rental_id, "running")
        assert rental.interruptions == number
        async with stage.databases.api.begin(account) as session:
            runs = await list_runs(session, account_id=account, rental_id=made.rental_id)
        assert [run.ended_at for run in runs][-2:] == [pulse, None]
    stage.clock.advance(40)
    await end(stage, account, made)


async def test_what_was_settled_in_a_gap_comes_back_if_it_is_stopped_there(stage: Any, rich: Any) -> None:
    account, made = await running_spot(stage, rich)
    stage.clock.advance(1000)
    await stage.run(watching)
    await vanish(stage, made.rental_id)
    stage.clock.advance(100)
    await settle(stage, account)
    await watch_until(stage, made.rental_id, "interrupted")
    stage.clock.advance(50)

    assert (await stage.stop(account, made.rental_id)).status == "stopped"

    await end(stage, account, made)


async def test_a_spot_machine_that_falls_silent_is_given_its_time_to_answer(stage: Any, rich: Any) -> None:
    account, made = await running_spot(stage, rich)
    stage.sandbox.accidents.silence(await machine_of(stage, made.rental_id))
    await asyncio.sleep(0.1)
    began = stage.clock.now()

    for _ in range(10):  # its turn to be asked comes within five minutes
        await stage.run(watching)
        stage.clock.advance(30)
    assert (await stage.rental(made.rental_id)).status == "running"
    rental = await watch_until(stage, made.rental_id, "interrupted")

    assert stage.clock.now() - began >= timedelta(seconds=stage.tools.limits.host_lost_seconds)
    assert rental.ran_seconds == 0  # what its cloud said of it meanwhile is not billed
    assert rental.failure is None
    await end(stage, account, made)


async def lost(stage: Any, rich: Any, **changes: Any) -> tuple[Any, Any]:
    """A spot rental whose machine vanished after five minutes, noticed."""
    account, made = await running_spot(stage, rich, **changes)
    stage.clock.advance(300)
    await stage.run(watching)
    await vanish(stage, made.rental_id)
    await watch_until(stage, made.rental_id, "interrupted")
    return account, made


async def sell_out(stage: Any, *, only_spot: bool = False) -> None:
    connection = await asyncpg.connect(stage.databases.urls.admin)
    await connection.execute("UPDATE listings SET gone_at = now() WHERE spot OR NOT $1", only_spot)
    await connection.close()


async def test_a_spot_machine_that_was_silent_before_it_was_taken_back_is_billed_until_it_last_answered(
    stage: Any, rich: Any
) -> None:
    account, made = await running_spot(stage, rich)
    await stage.run(watching)
    answered = (await stage.attempts(made.rental_id))[-1].answered_at
    stage.clock.advance(30)
    stage.sandbox.accidents.silence(await machine_of(stage, made.rental_id))
    stage.clock.advance(150)
    assert (await stage.run(watching))["well"] == 1, "its cloud says that it runs"
    stage.sandbox.accidents.preempt(await machine_of(stage, made.rental_id), notice_seconds=0)
    stage.clock.advance(30)
    assert (await stage.run(watching))["interrupted"] == 1

    async with stage.databases.worker.begin_unscoped() as session:
        [run] = await list_runs(session, account_id=account, rental_id=made.rental_id)
    assert run.ended_at == answered
    await end(stage, account, made)


async def test_with_nothing_to_be_had_it_waits_and_goes_on_when_there_is(stage: Any, rich: Any) -> None:
    account, made = await lost(stage, rich)
    await sell_out(stage)
    for _ in range(5):
        assert (await stage.run(placing)) == {"nothing_yet": 1}
        stage.clock.advance(60)
    assert (await stage.rental(made.rental_id)).status == "interrupted"

    await stage.refresh()
    await stage.until_status(made.rental_id, "running")

    await end(stage, account, made)


async def test_with_nothing_to_be_had_in_time_it_fails_and_only_what_ran_is_charged(stage: Any, rich: Any) -> None:
    account, made = await lost(stage, rich, launch={"recovery_seconds": 120})
    await sell_out(stage)
    stage.clock.advance(100)
    await stage.run(placing)
    assert (await stage.rental(made.rental_id)).status == "interrupted"
    stage.clock.advance(20)

    rental = await stage.until_status(made.rental_id, "failed")

    assert rental.failure["reason"] == "interrupted_no_capacity"
    assert (await stage.balance(account)).reserved == 0
    await stage.until_rest()
    await nothing_is_left(stage)
    [(_, seconds)] = await ran(stage, account, made.rental_id)
    assert await charged(stage, account) == made.rate * seconds // 3600


async def test_machines_that_don_t_start_are_no_recovery_and_their_tries_are_bounded(stage: Any, rich: Any) -> None:
    account, made = await lost(stage, rich)
    stage.sandbox.faults.add(Fault("offer_gone", times=None))
    for _ in range(12):
        await stage.run(placing)
        stage.clock.advance(5)
    assert len(await stage.attempts(made.rental_id)) <= 1 + ATTEMPTS_MAX
    await end(stage, account, made)


async def test_the_longest_duration_counts_what_ran_and_not_the_gap(stage: Any, rich: Any) -> None:
    account, made = await lost(stage, rich, max_duration_seconds=600)
    stage.clock.advance(500)
    await stage.until_status(made.rental_id, "running")
    stage.clock.advance(1000)

    rental = await stage.until_status(made.rental_id, "stopped")

    assert (rental.end_reason, rental.ran_seconds) == ("max_duration", 600)
    assert await charged(stage, account) == made.rate * 600 // 3600


async def test_one_whose_time_is_over_when_the_loss_is_noticed_is_stopped(stage: Any, rich: Any) -> None:
    account, made = await running_spot(stage, rich, max_duration_seconds=600)
    stage.clock.advance(590)
    await stage.run(watching)
    await vanish(stage, made.rental_id)
    stage.clock.advance(25)

    rental = await watch_until(stage, made.rental_id, "stopped")

    assert (rental.end_reason, rental.ran_seconds // 10) == ("max_duration", 59)
    await end(stage, account, made)


async def test_a_cloud_whose_list_lacks_the_machine_interrupts_nothing(stage: Any, rich: Any) -> None:
    _, made = await running_spot(stage, rich)
    stage.sandbox.faults.add(Fault("lists_late", operation="list_machines", times=None, seconds=3600))
    for _ in range(4):
        stage.clock.advance(60)
        await stage.run(watching)
    assert (await stage.rental(made.rental_id)).status == "running"


async def test_an_on_demand_listing_takes_over_where_both_kinds_are_welcome(stage: Any, rich: Any) -> None:
    account = await rich()
    made = await stage.request(account, wanted={"spot": Spot.PREFER})
    await stage.until_status(made.rental_id, "running")
    await sell_out(stage, only_spot=True)
    connection = await asyncpg.connect(stage.databases.urls.admin)
    await connection.execute("UPDATE rentals SET rate = 100000000")  # so that no listing is too dear to absorb
    await connection.close()
    await vanish(stage, made.rental_id)
    await watch_until(stage, made.rental_id, "interrupted")
    await stage.until_status(made.rental_id, "running")
    first, second = await stage.attempts(made.rental_id)
    assert (first.listing["spot"], second.listing["spot"]) == (True, False)


async def test_a_gap_is_not_paid_for_by_a_hibernation_that_follows_it_closely(stage: Any, rich: Any) -> None:
    account, made = await running_spot(stage, rich)
    stage.clock.advance(1000)
    await stage.run(watching)
    await vanish(stage, made.rental_id)
    stage.clock.advance(100)
    await settle(stage, account)
    await watch_until(stage, made.rental_id, "interrupted")
    await stage.until_status(made.rental_id, "running")
    stage.clock.advance(10)
    async with stage.databases.api.begin(account) as session:
        await hibernate(session, account_id=account, rental_id=made.rental_id, actor="test", at=stage.clock.now())
    await stage.until_status(made.rental_id, "hibernated")
    stage.clock.advance(3600)
    await stage.stop(account, made.rental_id)
    await stage.until_rest()
    await nothing_is_left(stage)

    async with stage.databases.api.begin(account) as session:
        runs = await list_runs(session, account_id=account, rental_id=made.rental_id)
    assert [run.kind for run in runs] == ["ran", "ran", "hibernated"]
    fair = sum(Fraction(run.rate * whole_seconds(run.began_at, run.ended_at), 3600) for run in runs)
    assert fair - made.rate // 60 < await charged(stage, account) <= fair
