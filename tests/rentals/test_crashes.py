"""A worker dies at any point of any operation: nothing is lost, doubled, or left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from app import wallet
from app.kit.ids import AccountId, RentalId
from app.kit.reconcile import Round
from app.rentals import Tools
from app.rentals.keeping import stopping
from app.rentals.keeping.watching import Live, lose
from app.rentals.placing import destroying, placement
from app.sandbox import Fault
from tests.rentals.dying import Scene, die_everywhere, item, place


async def requested(stage: Any, account: AccountId) -> RentalId:
    return (await stage.request(account)).rental_id


async def step_until(stage: Any, rental_id: RentalId, status: str) -> RentalId:
    """Step placement until the rental's attempt stands in a status."""
    for _ in range(200):
        attempts = await stage.attempts(rental_id)
        if attempts and attempts[-1].status == status:
            return rental_id
        await placement.step(stage.tools, Round(stage.clock.now(), stage.holding), await item(stage, rental_id))
        stage.clock.advance(1)
        await asyncio.sleep(0.02)
    raise AssertionError(f"never {status}")


async def lost_create(stage: Any, account: AccountId) -> RentalId:
    """A create that happened, though its answer was lost."""
    rental_id = await requested(stage, account)
    stage.sandbox.faults.add(Fault("timeout_after_success", operation="create", mode="drop"))
    await placement.step(stage.tools, Round(stage.clock.now(), stage.holding), await item(stage, rental_id))
    assert (await stage.attempts(rental_id))[-1].machine_id is None
    return rental_id


def prepared(status: str) -> Callable[[Any, AccountId], Awaitable[RentalId]]:
    async def prepare(stage: Any, account: AccountId) -> RentalId:
        return await step_until(stage, await requested(stage, account), status)

    return prepare


async def stopped(stage: Any, account: AccountId) -> RentalId:
    rental_id = await prepared("live")(stage, account)
    await stage.stop(account, rental_id)
    return rental_id


async def ran_an_hour(stage: Any, account: AccountId) -> RentalId:
    rental_id = await prepared("live")(stage, account)
    stage.clock.advance(700)
    return rental_id


async def destroy(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    attempt = (await stage.attempts(rental_id))[-1]
    doomed = destroying.Doomed(account, rental_id, attempt.number, attempt.bucket)
    await destroying.step(tools, Round(stage.clock.now(), stage.holding), doomed)


async def stop(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    async with tools.db.begin(account) as session:
        await stopping.stop(
            session, account_id=account, rental_id=rental_id, reason="user", actor="test", at=stage.clock.now()
        )


async def end(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    bucket = (await stage.rental(rental_id)).bucket
    ending = stopping.Ending(account, rental_id, bucket, "wallet_empty")
    await stopping.end(tools, Round(stage.clock.now(), stage.holding), ending)


async def settle(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    bucket = (await stage.rental(rental_id)).bucket
    async with tools.db.begin_unscoped() as session:
        await wallet.settle(session, [wallet.Due(account, rental_id, bucket)], at=stage.clock.now())


async def lose_host(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    rental, attempt = await stage.rental(rental_id), (await stage.attempts(rental_id))[-1]
    one = Live(account, rental_id, attempt.number, rental.bucket, attempt.machine_id, rental.heartbeat_at)
    await lose(tools, Round(stage.clock.now(), stage.holding), one)


async def new_rental(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    await replace_db(stage, tools).request(account)


async def nothing(stage: Any, account: AccountId) -> RentalId:
    return RentalId.new()


def replace_db(stage: Any, tools: Tools) -> Any:
    return replace(stage, databases=replace(stage.databases, api=tools.db))


SCENES = {
    "request": Scene(nothing, new_rental),
    "create": Scene(requested, place),
    "look for a lost create": Scene(lost_create, place),
    "boot": Scene(prepared("booting"), place),
    "check": Scene(prepared("checking"), place),
    "settle": Scene(ran_an_hour, settle),
    "stop": Scene(prepared("live"), stop),
    "stop while creating": Scene(lost_create, stop),
    "end": Scene(ran_an_hour, end),
    "destroy": Scene(stopped, destroy),
    "lose a host": Scene(ran_an_hour, lose_host),
}

EVERY = {
    "request": 2,
    "create": 4,
    "look for a lost create": 3,
    "boot": 3,
    "check": 9,
    "settle": 2,
    "stop": 3,
    "stop while creating": 3,
    "end": 3,
    "destroy": 4,
    "lose a host": 3,
}
"""There are many suspension points between two writes: one in so many is taken here, all in the soak."""


@pytest.mark.timeout(280)
@pytest.mark.parametrize("name", SCENES)
async def test_dying_at_any_point_loses_doubles_and_orphans_nothing(
    name: str, stage: Any, rich: Any, victim: Any, record_property: Any
) -> None:
    points = await die_everywhere(SCENES[name], stage, rich, victim, every=EVERY[name])
    assert points > 1
    record_property("crash_points", points)


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", EVERY)
async def test_dying_at_really_any_point(name: str, stage: Any, rich: Any, victim: Any, record_property: Any) -> None:
    points = await die_everywhere(SCENES[name], stage, rich, victim, every=1)
    record_property("crash_points", points)
