"""What goes wrong in a day beside the lines and the deaths: faults, outages, accidents, workers that stand still."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from app.providers import Order
from app.sandbox import Fault
from tests.simulation.clouds import STRANGE
from tests.simulation.days import LIMITS, Day
from tests.simulation.wire import Line

_FREEZE_SECONDS = (5, 200)


async def invite_strangers(day: Day) -> None:
    """Let somebody else have machines in the same accounts, before anything goes wrong."""
    worker = day.workers[0]
    for name, provider in worker.tools.providers.items():
        offers = await provider.list_offers()
        for marker, offer in zip(
            (f"{STRANGE[0]}-{name}", f"{STRANGE[1]}rent_01JZZZZZZZZZZZZZZZZZZZZZZZ-1"), offers[-2:], strict=True
        ):
            order = Order(
                marker=marker,
                offer_id=offer.offer_id,
                region_id=offer.region_id,
                spot=False,
                bid_micros_per_hour=None,
                image="ubuntu:24.04",
                disk_gb=20,
                platform_public_key=day.key.public,
            )
            await provider.create(order)


def switch_on(day: Day) -> None:
    """Let the day's faults strike from now on."""
    day.troubled = True
    for trouble in day.lines:
        trouble.line = day.options.line
    for worker in day.workers:
        worker.deaths = day.options.worker_deaths
    for cloud, fault, rate in day.options.faults:
        day.sky.world.faults.add(replace(fault, provider=cloud, probability=rate, times=None))


async def outages(day: Day) -> None:
    """Take clouds down for a while, each once."""
    hours = timedelta(hours=day.size.hours).total_seconds()
    planned = sorted((share * hours, seconds, cloud) for cloud, share, seconds in day.options.outages)
    passed = 0.0
    for begins, seconds, cloud in planned:
        await day.timeline.pause(begins - passed)
        passed = begins
        number = day.sky.world.faults.add(Fault("server_error", operation="*", status=503, provider=cloud, times=None))
        day.note("troubles", "outage", cloud, "began")
        day.timeline.spawn(_back(day, number, seconds))


async def _back(day: Day, number: int, seconds: float) -> None:
    await day.timeline.pause(seconds)
    day.sky.world.faults.remove(number)


async def accidents(day: Day) -> None:
    """Let something happen to a machine of ours now and then."""
    chance = day.chance("accidents")
    while day.options.accidents and not day.calm:
        await day.timeline.pause(chance.expovariate(1 / day.options.accident_every_seconds))
        living = day.sky.ours()
        if day.calm or not living:
            continue
        what, victim = chance.choice(day.options.accidents), chance.choice(living)
        more = {"notice_seconds": chance.choice((0, 5, 30, 120))} if what == "preempt" else {}
        try:
            getattr(day.sky.accidents, what)(victim.id, **more)
        except LookupError:
            continue
        day.note("troubles", "accident", f"{victim.provider} {victim.id}", what)


async def freezes(day: Day) -> None:
    """Let a worker stand still, often for longer than its leases last."""
    chance = day.chance("freezes")
    while day.options.freezes and not day.calm:
        await day.timeline.pause(chance.expovariate(day.options.freezes / 3600))
        if day.calm or not day.workers:
            continue
        worker, seconds = chance.choice(day.workers), chance.uniform(*_FREEZE_SECONDS)
        worker.life.frozen_until = day.timeline.now() + timedelta(seconds=seconds)
        day.note(worker.life.name, "worker", "", "froze")
        day.timeline.spawn(_lapse(day, worker.life))


async def _lapse(day: Day, life: object) -> None:
    await day.timeline.pause(15)
    if life.frozen_until > day.timeline.now():
        await day.expire_leases(life)


def calm_down(day: Day) -> None:
    """End all trouble: what follows must converge."""
    day.calm, day.troubled = True, False
    day.sky.world.faults.clear()
    for trouble in day.lines:
        trouble.line = Line()
    for worker in day.workers:
        worker.deaths = 0.0


__all__ = ["LIMITS", "accidents", "calm_down", "freezes", "invite_strangers", "outages", "switch_on"]
