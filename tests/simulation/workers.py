"""A simulated worker: the real reconcilers at virtual intervals, with hands of its own, dying and freezing as drawn."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.catalog.reconcilers import refresh_reconciler
from app.costs.reconcilers import reconcilers as cost_reconcilers
from app.kit.leases import Holding, StaleFenceError
from app.kit.reconcile import Reconciler, Round, Runner
from app.machines import ShellError
from app.providers import ProviderError
from app.rentals import Tools
from app.rentals.reconcilers import reconcilers as rental_reconcilers
from app.wallet import reconcilers as wallet_reconcilers
from tests.simulation.dying import DiedError, Life, Mortal
from tests.simulation.timeline import Bell, Timeline

URGENT: Mapping[str, str] = {
    "placement": "SELECT min(next_at) FROM rentals",
    "checkpointing": "SELECT min(next_at) FROM rentals WHERE status = 'interrupted'",
    "hibernating": "SELECT min(next_at) FROM rentals WHERE status = 'hibernating'",
    "destroying": "SELECT min(next_at) FROM attempts WHERE status = 'doomed'",
    "ending": "SELECT least((SELECT min(stop_at) FROM rentals WHERE status = 'running'), "
    "(SELECT min(ends_at) FROM holds WHERE state = 'running'))",
}
"""Reconcilers that are run when something is due for them, and when that is; the others look at intervals."""
_SOON = 1.0
_IN_HAND = 5.0
"""When to look again where all that is due is in hand already, or waits after a failure."""
_SLOWEST_LOOK = 60.0
_EVERY: Mapping[str, float] = {
    "catalog.refresh": 600.0,
    "sweeping": 240.0,
    "dormant": 300.0,
    "wallet.metering": 300.0,
    "wallet.warnings": 300.0,
    "rentals.auditing": 3600.0,
    "costs.noting": 600.0,
    "costs.fetching": 300.0,
    "costs.measuring": 3600.0,
}
_FORESEEN = (ProviderError, ShellError, StaleFenceError)
_BEAT_SECONDS = 60.0
_POINTS_MAX = 60
_LATE_POINTS_MAX = 12


@dataclass
class Worker:
    """One run of a worker process."""

    life: Life
    tools: Tools
    timeline: Timeline
    chance: random.Random
    deaths: float
    take_leases: Callable[[Life], Awaitable[Holding]]
    next_dues: Callable[[], Awaitable[Mapping[str, float]]]
    """By urgent reconciler: how many seconds until something is due for it."""
    on_outcome: Callable[[str, str, object, str], None]
    on_surprise: Callable[[Exception], None]
    """Told of an error that is no cloud's, no machine's and no lost lease's: a mistake of ours."""
    on_death: Callable[[Worker], Awaitable[None]]

    def __post_init__(self) -> None:
        self.holding = Holding(self.life.name, {})
        made = [
            *rental_reconcilers(self.tools),
            wallet_reconcilers.metering(self.tools.db),
            wallet_reconcilers.warnings(self.tools.db),
            *cost_reconcilers(self.tools),
            refresh_reconciler(self.tools.db, self.tools.providers),
        ]
        self.runners = [Runner(self._mortal(one), monotonic=self.timeline.monotonic) for one in made]
        self._bell = Bell()

    def begin(self) -> None:
        """Begin its processes: one for what is urgent, one for each reconciler that takes its time."""
        quick = [runner for runner in self.runners if runner.reconciler.name in URGENT]
        self.timeline.spawn(self._living(self._urgent(quick)))
        for runner in self.runners:
            if runner not in quick:
                self.timeline.spawn(self._living(self._regular(runner)))

    def hint(self) -> None:
        """Something may be due."""
        self.timeline.ring(self._bell)

    async def pause(self, seconds: float) -> None:
        await self.timeline.pause(seconds, self.life)

    async def _living(self, work: Any) -> None:
        try:
            await Mortal(work, self.life, dies_at=None)
        except DiedError:
            return

    async def _urgent(self, runners: list[Runner]) -> None:
        beaten = -_BEAT_SECONDS
        while True:
            if self.timeline.monotonic() >= beaten + _BEAT_SECONDS:
                self.holding = await self.take_leases(self.life)
                beaten = self.timeline.monotonic()
            dues, begun = await self.next_dues(), 0
            for runner in runners:
                if dues[runner.reconciler.name] <= 0:
                    begun += await self._look(runner)
            soon = _SOON if begun else _IN_HAND if min(dues.values()) <= 0 else max(_SOON, min(dues.values()))
            await self.timeline.pause(min(_SLOWEST_LOOK, soon), self.life, bell=self._bell)

    async def _regular(self, runner: Runner) -> None:
        every = _EVERY.get(runner.reconciler.name, max(60.0, runner.reconciler.every_seconds))
        await self.pause(self.chance.uniform(1, every / 4))
        while True:
            await self._look(runner)
            await self.pause(every)

    async def _look(self, runner: Runner) -> int:
        """Find, begin what is found, and return how much that is."""
        steps = await runner.begin(Round(self.timeline.now(), self.holding))
        for step in steps:
            step.add_done_callback(_retrieved)
        return len(steps)

    def _mortal(self, reconciler: Reconciler) -> Reconciler:
        async def step(this: Round, item: Any) -> str:
            await self.timeline.enter()
            try:
                work = reconciler.step(this, item)
                outcome = await Mortal(work, self.life, dies_at=self._death())
            except DiedError:
                if not self.life.dead:
                    self.life.die()
                    await self.on_death(self)
                raise
            except Exception as error:
                self.on_outcome(self.life.name, reconciler.name, item, repr(error)[:90])
                self._judge(error)
                raise
            else:
                self.on_outcome(self.life.name, reconciler.name, item, outcome)
                return outcome
            finally:
                self.timeline.leave()

        async def find(this: Round, limit: int) -> list[Any]:
            try:
                return sorted(await reconciler.find(this, limit), key=str)  # what is due at one moment has no order
            except Exception as error:
                self._judge(error)
                raise

        return replace(reconciler, find=find, step=step)

    def _judge(self, error: Exception) -> None:
        if not self.life.dead and not isinstance(error, _FORESEEN):
            self.on_surprise(error)

    def _death(self) -> int | None:
        if self.chance.random() >= self.deaths:
            return None
        return self.chance.randint(1, self.chance.choice((_LATE_POINTS_MAX, _POINTS_MAX)))


def _retrieved(step: asyncio.Task[str]) -> None:
    """A step's death is known already."""
    if not step.cancelled():
        step.exception()
