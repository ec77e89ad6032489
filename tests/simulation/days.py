"""One simulated day: customers, clouds, workers and everything that goes wrong, told by a seed."""

from __future__ import annotations

import math
import random
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from app.kit.db import Database
from app.kit.leases import BUCKETS, Holding, bucket_name, hold_share
from app.kit.vault import Vault
from app.rentals import Limits, PlatformKey, Tools
from app.rentals.placing.sweeping import lease_name
from tests.simulation.clouds import NAMES, Sky, open_sky
from tests.simulation.dying import DiedError, Life, Mortal
from tests.simulation.options import Options, Size, drawn
from tests.simulation.timeline import Timeline
from tests.simulation.wire import Line, Trouble
from tests.simulation.workers import URGENT, Worker

START = datetime.fromisoformat("2026-03-01T12:00:00+00:00")
DEPLOYMENT = "simulate"
LIMITS = Limits(poll_seconds=5.0, provisioning_seconds=600, unfound_seconds=400)
_LEASE_SECONDS = 15.0
_NEXT_DUES = "SELECT " + ", ".join(f"({query}) AS {name}" for name, query in URGENT.items())


@dataclass
class Day:
    """Everything in one place."""

    seed: int
    size: Size
    options: Options
    databases: Any
    admin: asyncpg.Connection
    timeline: Timeline
    sky: Sky
    key: PlatformKey
    trace: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    """How often each kind of thing happened."""
    workers: list[Worker] = field(default_factory=list)
    lines: list[Trouble] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    """Errors that nobody foresaw, as they were raised."""
    lives: int = 0
    troubled: bool = False
    """Things go wrong now."""
    calm: bool = False
    """Nothing goes wrong any more."""
    _api: Life | None = None

    def chance(self, what: str) -> random.Random:
        return random.Random(f"{self.seed}-{what}")

    def note(self, who: str, what: str, about: object, outcome: str) -> None:
        """Keep a line of the day's story."""
        self.trace.append(f"{self.timeline.at:%H:%M:%S.%f} {who} {what} {about} {outcome}")
        self.seen[f"{what}.{outcome.partition('(')[0]}"] += 1

    def surprise(self, error: Exception) -> None:
        """Keep an error that should not have come about."""
        self.surprises.append("".join(traceback.format_exception(error)))

    def hint(self) -> None:
        for worker in self.workers:
            worker.hint()

    # Workers

    def start_worker(self) -> None:
        """Begin a run of a worker process."""
        life = self.new_life("worker", self.databases.urls.worker)
        chance = self.chance(life.name)

        async def pause(seconds: float) -> None:
            await self.timeline.pause(seconds, life)

        lines = {name: Trouble(f"{self.seed}-{life.name}-{name}") for name in NAMES}
        for trouble in lines.values():
            trouble.line = self.options.line if self.troubled else Line()
        self.lines += lines.values()
        tools = Tools(
            life.db,
            self.sky.adapters(lines, self.timeline, pause),
            self.key,
            Vault(b"test"),
            self.timeline,
            DEPLOYMENT,
            LIMITS,
            open_shell=self.sky.street.open_shell_of(pause),
        )
        deaths = self.options.worker_deaths if self.troubled else 0.0
        worker = Worker(
            life, tools, self.timeline, chance, deaths, self.take_leases, self.next_dues, self.note, self.surprise,
            self.bury_worker,
        )  # fmt: skip
        self.workers.append(worker)
        worker.begin()

    def new_life(self, kind: str, url: str) -> Life:
        self.lives += 1
        name = f"{kind}-{self.lives}"
        return Life(name, Database.connect(url, role=name, pool_size=4))

    async def take_leases(self, life: Life) -> Holding:
        names = [*(bucket_name(number) for number in range(BUCKETS)), *(lease_name(cloud) for cloud in NAMES)]
        return await hold_share(life.db, life.name, names)

    async def next_dues(self) -> dict[str, float]:
        row = await self.admin.fetchrow(_NEXT_DUES)
        at = self.timeline.at
        return {name: math.inf if due is None else (due - at).total_seconds() for name, due in row.items()}

    async def bury_worker(self, worker: Worker) -> None:
        """Cut the dead worker's connections; its leases lapse, and another is started by whoever watches over it."""
        self.note(worker.life.name, "worker", "", "died")
        await self.cut(worker.life)
        self.workers.remove(worker)
        self.timeline.spawn(self._succeed(worker.life))

    async def _succeed(self, dead: Life) -> None:
        await self.timeline.pause(_LEASE_SECONDS)
        await self.expire_leases(dead)
        await self.timeline.pause(self.chance(dead.name + "-successor").uniform(1, 90))
        self.start_worker()

    async def expire_leases(self, life: Life) -> None:
        await self.admin.execute("UPDATE leases SET expires_at = now() WHERE owner = $1", life.name)
        await self.admin.execute("DELETE FROM workers WHERE owner = $1", life.name)

    async def cut(self, life: Life) -> None:
        """End a life's database connections and wait until they are gone with all their locks."""
        name = f"hourglass-{life.name}"
        query = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = $1 AND datname = current_database()"
        )
        while await self.admin.fetchval(query, name):
            pass

    # The API

    def api(self) -> Life:
        """Return the API process that lives now."""
        if self._api is None or self._api.dead:
            self._api = self.new_life("api", self.databases.urls.api)
        return self._api

    async def mortal(self, life: Life, work: Coroutine[Any, Any, Any], *, dies_at: int | None) -> Any:
        """Do something with a life that may end at it. Raises DiedError."""
        try:
            return await Mortal(work, life, dies_at=dies_at)
        except DiedError:
            if not life.dead:
                life.die()
                await self.cut(life)
            raise


@asynccontextmanager
async def opened(
    seed: int, size: Size, databases: Any, key: PlatformKey, options: Options | None = None
) -> AsyncIterator[Day]:
    """Set the scene: accounts come later, workers run, strangers have machines."""
    timeline = Timeline(START)
    options = options or drawn(seed, NAMES, hours=size.hours)
    sky = await open_sky(seed, timeline, public_key=key.public)
    admin = await asyncpg.connect(databases.urls.admin)
    day = Day(seed, size, options, databases, admin, timeline, sky, key)
    try:
        yield day
    finally:
        for life in [worker.life for worker in day.workers] + [day.api()]:
            life.die()
            await day.cut(life)
        await sky.aclose()
        await admin.close()
