"""A cloud says beforehand that it takes a machine back: the customer's script saves, the next machine goes on."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.kit.clock import SystemClock
from app.providers import Capability, Machine, MachineStatus
from app.rentals import queries
from app.rentals.keeping.interrupting import may_be_interrupted, notice_of
from app.rentals.keeping.live import Live
from app.rentals.reconcilers import checkpointing, visits, watching
from tests.rentals.spot import end, events_of, machine_of, running_spot, watch_until

pytestmark = pytest.mark.usefixtures("real_machines")


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
    account, made = await with_notice(stage, rich, 30, on_interrupt="sleep 60")
    await stage.run(watching)
    stage.sandbox.accidents.vanish(await machine_of(stage, made.rental_id))
    await asyncio.sleep(0.1)
    assert (await stage.run(checkpointing)) == {"checkpoint_failed": 1}
    await stage.until_status(made.rental_id, "running")
    await end(stage, account, made)


async def test_no_script_is_begun_on_a_machine_that_no_longer_answers(stage: Any, rich: Any) -> None:
    account, made = await with_notice(stage, rich, 30, on_interrupt="true")
    stage.sandbox.accidents.silence(await machine_of(stage, made.rental_id))
    await asyncio.sleep(0.1)
    assert (await stage.run(watching))["doubted"] == 1
    rental = await watch_until(stage, made.rental_id, "interrupted")
    assert (rental.stage, rental.ran_seconds) == ("matching", 0)
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
    assert may_be_interrupted(one, cloud)
    assert not may_be_interrupted(one._replace(spot=False), cloud)
    assert may_be_interrupted(one._replace(spot=False), replace(cloud, interruption="timeout"))
