"""A worker, or the API, dies at any point of hibernating, of resuming, or of a turn in the queue."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.kit.ids import AccountId, RentalId
from app.kit.reconcile import Round
from app.rentals import Tools
from app.rentals.keeping import hibernating, waiting
from app.rentals.keeping.dormant import look_after
from app.rentals.keeping.hibernating import hibernate
from app.rentals.placing.resuming import resume
from tests.rentals.dying import Scene, die_everywhere, item, place
from tests.rentals.test_crashes import prepared
from tests.rentals.test_waitlist import WISH


async def ran(stage: Any, account: AccountId) -> RentalId:
    rental_id = await prepared("live")(stage, account)
    stage.clock.advance(700)
    return rental_id


async def accepted(stage: Any, account: AccountId) -> RentalId:
    rental_id = await ran(stage, account)
    await turn_off(stage, stage.tools, account, rental_id)
    return rental_id


async def asked(stage: Any, account: AccountId) -> RentalId:
    rental_id = await accepted(stage, account)
    await look(stage, stage.tools, account, rental_id)
    await asyncio.sleep(0.1)
    return rental_id


async def asleep(stage: Any, account: AccountId) -> RentalId:
    rental_id = await asked(stage, account)
    await look(stage, stage.tools, account, rental_id)
    assert (await stage.rental(rental_id)).status == "hibernated"
    stage.clock.advance(700)
    return rental_id


async def lost(stage: Any, account: AccountId) -> RentalId:
    rental_id = await asleep(stage, account)
    stage.sandbox.accidents.vanish((await stage.attempts(rental_id))[-1].machine_id)
    return rental_id


async def called(stage: Any, account: AccountId) -> RentalId:
    rental_id = await asleep(stage, account)
    await turn_on(stage, stage.tools, account, rental_id)
    return rental_id


async def awake(stage: Any, account: AccountId) -> RentalId:
    rental_id = await called(stage, account)
    await place(stage, stage.tools, account, rental_id)
    await asyncio.sleep(0.15)
    return rental_id


async def called_in_vain(stage: Any, account: AccountId) -> RentalId:
    rental_id = await called(stage, account)
    stage.sandbox.accidents.vanish((await stage.attempts(rental_id))[-1].machine_id)
    return rental_id


async def queued(stage: Any, account: AccountId) -> RentalId:
    made = await stage.request(account, wanted=WISH["wanted"] | {"providers": ("nobody",)}, wait_seconds=3600)
    async with stage.databases.worker.begin_unscoped() as session:
        rental = await session.get(waiting.RentalRow, (account, made.rental_id))
        rental.wanted = rental.wanted | {"providers": ["vast"]}
    return made.rental_id


async def turn_off(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    async with tools.db.begin(account) as session:
        await hibernate(session, account_id=account, rental_id=rental_id, actor="test", at=stage.clock.now())


async def look(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    await hibernating.step(tools, Round(stage.clock.now(), stage.holding), await item(stage, rental_id))


async def look_after_it(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    await look_after(tools, Round(stage.clock.now(), stage.holding), "vast")


async def turn_on(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    async with tools.db.begin(account) as session:
        await resume(session, account_id=account, rental_id=rental_id, actor="test", at=stage.clock.now())


async def give_turns(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    this = Round(stage.clock.now(), stage.holding)
    for turn in await waiting.find(tools, waiting.Hopeless(), this, 10):
        await waiting.step(tools, this, turn)


SCENES = {
    "ask to hibernate": (Scene(accepted, look), 20),
    "hibernated": (Scene(asked, look), 25),
    "resume": (Scene(asleep, turn_on), 20),
    "wake": (Scene(awake, place), 30),
}
DEEP = SCENES | {
    "accept a hibernation": (Scene(ran, turn_off), 1),
    "ask to wake": (Scene(called, place), 1),
    "wake in vain": (Scene(called_in_vain, place), 1),
    "lose what is off": (Scene(lost, look_after_it), 1),
    "a turn in the queue": (Scene(queued, give_turns), 1),
}


@pytest.mark.timeout(280)
@pytest.mark.parametrize("name", SCENES)
async def test_dying_with_a_machine_half_off_loses_doubles_and_orphans_nothing(
    name: str, stage: Any, rich: Any, victim: Any, record_property: Any
) -> None:
    scene, every = SCENES[name]
    points = await die_everywhere(scene, stage, rich, victim, every=every)
    assert points > 1
    record_property("crash_points", points)


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", DEEP)
async def test_dying_at_really_any_point_with_a_machine_half_off(
    name: str, stage: Any, rich: Any, victim: Any, record_property: Any
) -> None:
    points = await die_everywhere(DEEP[name][0], stage, rich, victim, every=1)
    record_property("crash_points", points)
