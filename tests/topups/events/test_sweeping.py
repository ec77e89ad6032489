"""Sweeping Stripe's own list of events."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from app.kit.db import driver
from app.kit.leases import Holding
from app.kit.reconcile import Round, Runner
from app.sandbox.faults import Fault
from app.topups.events.reconcilers import sweeping
from app.topups.events.sweeping import FIRST_LOOK_BACK, OVERLAP, Swept, sweep
from app.topups.gateway.errors import StripeUnavailable
from tests.topups.events.worlds import CENT


async def swept(world):
    return await sweep(world.tools.db, world.tools.stripe, at=world.clock.now())


async def cursor(world):
    async with world.tools.db.begin_unscoped() as session:
        return await driver(session).fetchval("SELECT at FROM stripe_cursors WHERE name = 'events'")


def emit(world, count):
    """Let Stripe tell of so many things that are nobody's."""
    books = world.stripe.books
    for number in range(count):
        books.emit("payment_method.detached", {"id": f"pm_{number}", "object": "payment_method"})


async def test_what_no_message_brought_is_swept_and_handled(world):
    account = await world.account()
    payment = await world.paid(account, 2500)
    world.stripe.refund(payment, 500)
    assert await swept(world) == Swept(len(world.events()), len(world.events()))
    await world.handle()
    assert await world.money(account) == (2000 * CENT, 0, 0)
    assert {row["source"] for row in (await world.rows()).values()} == {"sweep"}


async def test_what_a_message_brought_is_passed_over(world):
    account = await world.account()
    await world.paid(account, 2500)
    first, *others = world.events()
    await world.tell(first)
    assert (await swept(world)).new == len(others)
    assert (await world.rows())[first["id"]]["source"] == "webhook"


async def test_a_second_sweep_finds_nothing_new(world):
    emit(world, 3)
    assert await swept(world) == Swept(3, 3)
    assert await swept(world) == Swept(3, 0)
    world.clock.move(hours=1)
    emit(world, 2)
    assert await swept(world) == Swept(5, 2)
    world.clock.move(hours=1)
    assert await swept(world) == Swept(2, 0)


async def test_an_event_that_shows_late_is_found_by_the_overlap(world):
    started = world.clock.now()
    emit(world, 1)
    await swept(world)
    world.clock.at = started - OVERLAP + timedelta(minutes=1)
    emit(world, 1)
    world.clock.at = started
    assert (await swept(world)).new == 1


async def test_a_long_list_is_read_to_its_end_whatever_the_parts(world):
    emit(world, 257)
    assert await swept(world) == Swept(257, 257)
    assert len(await world.rows()) == 257
    assert await cursor(world) == world.clock.now()


async def test_a_sweep_that_breaks_off_goes_on_where_it_was(world):
    emit(world, 150)
    world.clock.move(hours=1)
    emit(world, 100)
    walked = Fault("slow", "stripe.list_events", times=3, provider="stripe", seconds=0)  # before the first part is kept
    world.sandbox.faults.add(walked)
    world.sandbox.faults.add(Fault("server_error", "stripe.list_events", times=3, provider="stripe"))
    with pytest.raises(StripeUnavailable):
        await swept(world)
    kept = len(await world.rows())
    assert 0 < kept < 250
    await swept(world)
    assert len(await world.rows()) == 250


async def test_the_first_sweep_looks_a_day_back_and_remembers_it(world):
    await swept(world)
    assert await cursor(world) == world.clock.now() - FIRST_LOOK_BACK
    world.clock.move(days=5)
    emit(world, 1)
    assert (await swept(world)).new == 1


async def test_the_cursor_never_goes_back(world):
    emit(world, 1)
    await swept(world)
    first = await cursor(world)
    world.clock.move(minutes=-5)
    emit(world, 1)
    await swept(world)
    assert await cursor(world) == first


async def test_only_the_worker_that_holds_the_first_bucket_sweeps(world):
    emit(world, 1)
    runner = Runner(sweeping(world.tools))
    assert await runner.run_once(Round(world.clock.now(), Holding("nobody", {}))) == Counter()
    assert await runner.run_once(world.round) == Counter({"found_missed": 1})
    assert await runner.run_once(world.round) == Counter({"nothing_missed": 1})


async def test_two_sweeps_at_once_are_harmless(world):
    emit(world, 120)
    both = await asyncio.gather(swept(world), swept(world))
    assert sum(one.new for one in both) == 120
    assert len(await world.rows()) == 120
