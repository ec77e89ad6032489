"""A worker dies at any point of an interruption or of the recovery from it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from app.catalog import Spot
from app.kit.ids import AccountId, RentalId
from app.kit.reconcile import Round
from app.rentals import Tools
from app.rentals.keeping import interrupting
from app.rentals.keeping.live import Live
from app.rentals.keeping.watching import Watch, watch
from app.rentals.placing import placement
from tests.rentals.dying import Scene, die_everywhere, item, place
from tests.rentals.test_crashes import step_until

SCRIPT = {"on_interrupt": "echo saved", "startup_script": "true"}


async def ran(stage: Any, account: AccountId) -> RentalId:
    made = await stage.request(account, wanted={"spot": Spot.ONLY}, launch=SCRIPT)
    rental_id = await step_until(stage, made.rental_id, "live")
    stage.clock.advance(700)
    return rental_id


async def vanished(stage: Any, account: AccountId) -> RentalId:
    rental_id = await ran(stage, account)
    stage.sandbox.accidents.vanish((await stage.attempts(rental_id))[-1].machine_id)
    await asyncio.sleep(0.05)
    stage.clock.advance(20)
    return rental_id


async def lost(stage: Any, account: AccountId) -> RentalId:
    rental_id = await vanished(stage, account)
    await interrupt(stage, stage.tools, account, rental_id)
    return rental_id


async def warned(stage: Any, account: AccountId) -> RentalId:
    rental_id = await ran(stage, account)
    await take_notice(stage, stage.tools, account, rental_id)
    return rental_id


def replaced(status: str) -> Callable[[Any, AccountId], Awaitable[RentalId]]:
    async def prepare(stage: Any, account: AccountId) -> RentalId:
        rental_id = await lost(stage, account)
        for _ in range(200):
            if (await stage.attempts(rental_id))[-1].status == status:
                return rental_id
            await placement.step(stage.tools, Round(stage.clock.now(), stage.holding), await item(stage, rental_id))
            stage.clock.advance(1)
            await asyncio.sleep(0.02)
        raise AssertionError(f"never {status}")

    return prepare


async def live(stage: Any, account: AccountId, rental_id: RentalId) -> Live:
    rental, attempt = await stage.rental(rental_id), (await stage.attempts(rental_id))[-1]
    return Live(account, rental_id, attempt.number, rental.bucket, attempt.machine_id, rental.heartbeat_at)


async def interrupt(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    one = await live(stage, account, rental_id)
    await interrupting.interrupt(tools, Round(stage.clock.now(), stage.holding), one, "gone")


async def take_notice(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    one, ends = await live(stage, account, rental_id), stage.clock.now() + timedelta(seconds=60)
    await interrupting.interrupt(tools, Round(stage.clock.now(), stage.holding), one, "notice", preempts_at=ends)


async def look(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    await watch(tools, Watch(), Round(stage.clock.now(), stage.holding), "vast")


async def save(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    await interrupting.step(tools, Round(stage.clock.now(), stage.holding), await item(stage, rental_id))


SCENES = {
    "notice that it is gone": (Scene(vanished, look), 30),
    "interrupt": (Scene(vanished, interrupt), 25),
    "take a notice": (Scene(ran, take_notice), 30),
    "save a checkpoint": (Scene(warned, save), 28),
    "choose another": (Scene(lost, place), 38),
    "check the other": (Scene(replaced("checking"), place), 40),
}
"""With how many suspension points apart deaths are tried here; the soak takes all."""


@pytest.mark.timeout(280)
@pytest.mark.parametrize("name", SCENES)
async def test_dying_during_an_interruption_loses_doubles_and_orphans_nothing(
    name: str, stage: Any, rich: Any, victim: Any, record_property: Any
) -> None:
    scene, every = SCENES[name]
    points = await die_everywhere(scene, stage, rich, victim, every=every)
    assert points > 1
    record_property("crash_points", points)


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", SCENES)
async def test_dying_at_really_any_point_of_an_interruption(
    name: str, stage: Any, rich: Any, victim: Any, record_property: Any
) -> None:
    points = await die_everywhere(SCENES[name][0], stage, rich, victim, every=1)
    record_property("crash_points", points)
