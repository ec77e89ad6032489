"""Living a day to its end: trouble first, with the invariants looked at; then calm, in which all must come to rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.rentals import PlatformKey
from tests.simulation import audits, troubles
from tests.simulation.customers import Customer
from tests.simulation.days import START, Day, opened
from tests.simulation.options import Size

_LOOK_SECONDS = 900
_CALM_HOURS = 3.0
_TOLD = 60
"""How many lines of the story a failure tells."""


@dataclass(frozen=True)
class Lived:
    """A day that is over."""

    seed: int
    wrong: list[str]
    seen: Counter[str]
    trace: list[str]
    report: str


async def live(seed: int, size: Size, databases: Any, key: PlatformKey) -> Lived:
    """Live the day of a seed and audit it."""
    async with opened(seed, size, databases, key) as day:
        wrong, customers = await _trouble(day)
        wrong = wrong or await _calm(day, customers) or await audits.audit(day, customers)
        day.seen.update({f"fault.{kind}": times for kind, times in day.sky.world.faults.struck.items()})
        for line in day.lines:
            day.seen.update(line.struck)
        return Lived(seed, wrong, day.seen, day.trace, _report(day, wrong) if wrong else "")


async def _trouble(day: Day) -> tuple[list[str], list[Customer]]:
    for _ in range(day.options.workers):
        day.start_worker()
    await troubles.invite_strangers(day)
    customers = [await Customer.opened(day, number) for number in range(day.size.accounts)]
    await day.timeline.run_until(START + timedelta(seconds=60))
    troubles.switch_on(day)
    for work in (troubles.outages(day), troubles.accidents(day), troubles.freezes(day)):
        day.timeline.spawn(work)
    for customer in customers:
        day.timeline.spawn(customer.live())
    ends = START + timedelta(hours=day.size.hours)
    while day.timeline.now() < ends:
        await day.timeline.run_until(day.timeline.now() + timedelta(seconds=_LOOK_SECONDS))
        if wrong := await audits.broken(day, customers):
            return wrong, customers
    return [], customers


async def _calm(day: Day, customers: list[Customer]) -> list[str]:
    """End the trouble, stop what runs, and wait until nothing moves. Returns what is wrong if that takes too long."""
    troubles.calm_down(day)
    await day.timeline.run_until(day.timeline.now() + timedelta(seconds=300))
    for customer in customers:
        for rental_id in await customer.seen():  # also what came of a request that was never answered
            if rental_id not in customer.stopped:
                await customer.stop(rental_id)
    ends = day.timeline.now() + timedelta(hours=_CALM_HOURS)
    while day.timeline.now() < ends:
        await day.timeline.run_until(day.timeline.now() + timedelta(seconds=60))
        if await audits.at_rest(day):
            return []
    return []


def _report(day: Day, wrong: list[str]) -> str:
    return "\n".join([
        f"seed {day.seed}, {day.size}", str(day.options), "", *wrong, "", "the end of its story:", *day.trace[-_TOLD:],
    ])  # fmt: skip
