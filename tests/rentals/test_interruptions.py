"""Machines that are taken back: outbid, with notice, without a word. The rental lives on elsewhere, the gap costs nothing."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.catalog import Spot
from app.kit.clock import SystemClock, whole_seconds
from app.providers import Capability, Machine, MachineStatus
from app.rentals import queries
from app.rentals.asking import Chosen
from app.rentals.interrupting import notice_of
from app.rentals.live import Live
from app.rentals.placement import ATTEMPTS_MAX
from app.rentals.reconcilers import checkpointing, placing, visits, watching
from app.rentals.runs import list_runs
from app.sandbox import Fault
from tests.rentals.test_crashes import tidy_market
from tests.rentals.test_faults import nothing_is_left, settle

SPOT = {"spot": Spot.ONLY}


async def running_spot(stage: Any, rich: Any, **changes: Any) -> tuple[Any, Any]:
    account = await rich()
    made = await stage.request(account, wanted=SPOT, **changes)
    await stage.until_status(made.rental_id, "running")
    return account, made


async def machine_of(stage: Any, rental_id: str) -> str:
    return (await stage.attempts(rental_id))[-1].machine_id


async def watch_until(stage: Any, rental_id: str, status: str, *, every: float = 30) -> Any:
    for _ in range(12):
        await stage.run(watching)
        if (await stage.rental(rental_id)).status == status:
            return await stage.rental(rental_id)
        stage.clock.advance(every)
    raise AssertionError(f"never {status}")


async def charged(stage: Any, account: Any) -> int:
    return 50_000_000 - (await stage.balance(account)).available


async def ran(stage: Any, account: Any, rental_id: str) -> list[tuple[str, int]]:
    async with stage.databases.api.begin(account) as session:
        runs = await list_runs(session, account_id=account, rental_id=rental_id)
        return [(run.ended_because, whole_seconds(run.began_at, run.ended_at)) for run in runs]


async def events_of(stage: Any, rental_id: str) -> list[str]:
    connection = await asyncpg.connect(stage.databases.urls.admin)
    rows = await connection.fetch("SELECT type FROM events WHERE subject = $1 ORDER BY seq", rental_id)
    await connection.close()
    return [row["type"] for row in rows]


async def end(stage: Any, account: Any, made: Any) -> None:
    """Stop, run to rest, and see that every usable second and no other was charged, to the micro-dollar."""
    await stage.stop(account, made.rental_id)
    await stage.until_rest()
    await nothing_is_left(stage)
    seconds = sum(length for _, length in await ran(stage, account, made.rental_id))
    assert await charged(stage, account) == made.rate * seconds // 3600


async def vanish(stage: Any, rental_id: str) -> None:
    stage.sandbox.accidents.vanish(await machine_of(stage, rental_id))
    await asyncio.sleep(0.1)


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

    for _ in range(11):  # its turn to be asked comes within ten rounds
        await stage.run(watching)
        stage.clock.advance(1)
    assert (await stage.rental(made.rental_id)).status == "running"
    rental = await watch_until(stage, made.rental_id, "interrupted")

    assert stage.clock.now() - began >= timedelta(seconds=stage.tools.limits.host_lost_seconds)
    assert rental.failure is None
    await end(stage, account, made)


async def with_notice(stage: Any, rich: Any, seconds: float, **launch: Any) -> tuple[Any, Any]:
    """A spot rental whose cloud says when it ends: the sandbox tells the real time, so the stage goes by it too."""
    stage.clock.at = SystemClock().now()
    await stage.refresh()
    account, made = await running_spot(stage, rich, launch=launch)
    stage.clock.at = max(stage.clock.at, SystemClock().now())
    stage.sandbox.accidents.preempt(await machine_of(stage, made.rental_id), notice_seconds=seconds)
    return account, made


@pytest.fixture
def shared_place() -> Iterator[Path]:
    """A folder that every machine's own user can write to: the customer's bucket."""
    place = Path(tempfile.mkdtemp(prefix="bucket-"))
    place.chmod(0o777)
    yield place
    shutil.rmtree(place)


async def test_a_notice_lets_the_script_save_and_the_next_machine_go_on_from_there(
    stage: Any, rich: Any, shared_place: Path
) -> None:
    place = shared_place / "checkpoint"
    account, made = await with_notice(
        stage,
        rich,
        60,
        on_interrupt='echo "step 41 $WHO" > "$HOURGLASS_CHECKPOINT_URI"; echo saved',
        startup_script='echo "began ${HOURGLASS_RESUMED:-0}"; cat "$HOURGLASS_CHECKPOINT_URI" 2>/dev/null; true',
        checkpoint_uri=str(place),
        env={"WHO": "o'clock"},
    )
    await until_logged(stage, made.rental_id)
    assert (await stage.run(watching))["interrupted"] == 1
    rental = await stage.rental(made.rental_id)
    assert (rental.status, rental.stage) == ("interrupted", "checkpointing")

    assert (await stage.run(checkpointing)) == {"checkpointed": 1}

    assert place.read_text() == "step 41 o'clock\n"
    assert (await stage.rental(made.rental_id)).stage == "matching"
    await stage.until_status(made.rental_id, "running")
    await until_logged(stage, made.rental_id)
    async with stage.databases.api.begin(account) as session:
        logs = await queries.list_logs(session, account_id=account, rental_id=made.rental_id, offset=0, limit=10)
    assert "".join(log.text for log in logs) == "began 0\nsaved\nbegan 1\nstep 41 o'clock\n"
    assert "rental.checkpointed" in await events_of(stage, made.rental_id)
    await end(stage, account, made)


async def until_logged(stage: Any, rental_id: str) -> None:
    for _ in range(200):
        await stage.run(visits)
        if (await stage.rental(rental_id)).log_exit is not None:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the script did not end")


async def test_a_script_gets_no_longer_than_it_asked_for_nor_than_there_is(stage: Any, rich: Any) -> None:
    account, made = await with_notice(stage, rich, 60, on_interrupt="echo began; sleep 60", timeout_on_interrupt=1)
    await stage.run(watching)
    assert (await stage.run(checkpointing)) == {"checkpoint_failed": 1}
    await stage.until_status(made.rental_id, "running")
    await end(stage, account, made)


async def test_a_machine_that_goes_before_its_script_is_through_is_replaced_all_the_same(stage: Any, rich: Any) -> None:
    account, made = await with_notice(stage, rich, 4, on_interrupt="sleep 60")
    await stage.run(watching)
    stage.sandbox.accidents.vanish(await machine_of(stage, made.rental_id))
    await asyncio.sleep(0.1)
    assert (await stage.run(checkpointing)) == {"checkpoint_failed": 1}
    await stage.until_status(made.rental_id, "running")
    await end(stage, account, made)


async def test_a_notice_without_a_script_is_acted_on_at_once(stage: Any, rich: Any) -> None:
    account, made = await with_notice(stage, rich, 30)
    await stage.run(watching)
    assert (await stage.rental(made.rental_id)).stage == "matching"
    await stage.until_status(made.rental_id, "running")
    await end(stage, account, made)


async def test_a_stop_while_the_script_runs_ends_it_all(stage: Any, rich: Any) -> None:
    account, made = await with_notice(stage, rich, 60, on_interrupt="true")
    await stage.run(watching)
    assert (await stage.stop(account, made.rental_id)).status == "stopping"
    assert (await stage.run(checkpointing)) == {}
    await end(stage, account, made)


def test_a_notice_is_acted_on_when_it_is_time(at: Any) -> None:
    cloud = Capability(
        name="c", title="C", pricing="api", launch="instance", shutdown="destroy", spot=True, interruption="reclaim",
        hibernate=False, stop=False, billing_granularity_seconds=1, min_commitment_seconds=0, marker_max_length=64,
        realised_cost="exact",
    )  # fmt: skip
    one = Live("a", "r", 1, 0, "m", at, spot=True, rented_at=at, script_seconds=60)
    soon = Machine("m", "marker", MachineStatus.RUNNING, preempts_at=at + timedelta(seconds=100))
    later = replace(soon, preempts_at=at + timedelta(hours=1))
    assert notice_of(soon, one, cloud, at=at) == soon.preempts_at
    assert notice_of(later, one, cloud, at=at) is None
    assert notice_of(replace(soon, preempts_at=None), one, cloud, at=at) is None
    by_the_clock = replace(cloud, machine_seconds_max=86_400)
    assert notice_of(later, one, by_the_clock, at=at + timedelta(hours=23, minutes=59)) == later.preempts_at
    quiet = replace(soon, preempts_at=None)
    assert notice_of(quiet, one, by_the_clock, at=at + timedelta(hours=23)) is None
    assert notice_of(quiet, one, by_the_clock, at=at + timedelta(seconds=86_300)) == at + timedelta(days=1)


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
