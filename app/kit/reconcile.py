"""Reconcilers: what must become true, found and mended in steps, again and again.

A reconciler is a value. The runner gives it a round (the time, and what this worker holds), isolates failures, backs
off per item, counts outcomes, and keeps the last status for metrics.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from prometheus_client import Counter as Metric
from prometheus_client import Gauge, Histogram

from app.kit.leases import Holding, StaleFenceError

log = structlog.get_logger(__name__)

OUTCOMES = Metric("hourglass_reconciler_outcomes", "Steps by reconciler and outcome", ["reconciler", "outcome"])
LAST_RUN = Gauge("hourglass_reconciler_last_run_timestamp_seconds", "When a reconciler last finished", ["reconciler"])
LAG = Gauge("hourglass_reconciler_lag_seconds", "How late the last run began", ["reconciler"])
DURATION = Histogram("hourglass_reconciler_run_seconds", "How long a run took", ["reconciler"])

_BACKOFF_FIRST_SECONDS = 1.0
_BACKOFF_MAX_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Round:
    """One run's time and rights."""

    at: datetime
    holding: Holding


@dataclass(frozen=True, slots=True)
class Reconciler:
    """One kind of work: ``find`` lists what is not yet as it must be, ``step`` mends one item and names the outcome."""

    name: str
    every_seconds: float
    batch: int
    find: Callable[[Round, int], Awaitable[Sequence[Any]]]
    """Called with the round and the batch size."""
    step: Callable[[Round, Any], Awaitable[str]]
    concurrency: int = 8
    step_seconds_max: float = 120.0
    lane: Callable[[Any], str] | None = None
    """Where an item queues: each lane has ``concurrency`` places of its own, so that a slow one holds up no other."""


@dataclass(slots=True)
class Status:
    """What a reconciler last found, and the outcomes of all its steps so far."""

    name: str
    last_run_at: datetime | None = None
    found: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    error: str | None = None


@dataclass(slots=True)
class _Waiting:
    tries: int
    until: float


class Runner:
    """Runs one reconciler's rounds; remembers which items are in hand and which to leave alone for a while."""

    def __init__(self, reconciler: Reconciler, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.reconciler = reconciler
        self._monotonic = monotonic
        self.status = Status(reconciler.name)
        self._waiting: dict[str, _Waiting] = {}
        self._in_hand: set[str] = set()
        self._gates: dict[str, asyncio.Semaphore] = {}

    async def run_once(self, this: Round) -> Counter[str]:
        """Find, step through everything found, and return the outcomes."""
        steps = await self.begin(this)
        return Counter(await asyncio.gather(*steps))

    async def begin(self, this: Round) -> list[asyncio.Task[str]]:
        """Find, and begin a step for each item that is neither in hand nor waiting; a slow one holds up no round.

        Never raises but for cancellation: failures are counted and logged. The tasks return outcomes.
        """
        name = self.reconciler.name
        began = time.monotonic()
        try:
            found = await self.reconciler.find(this, self.reconciler.batch)
        except Exception as error:  # noqa: BLE001 - one reconciler's failure must not end the worker
            log.warning("reconciler.find_failed", reconciler=name, error=repr(error))
            self.status.error = repr(error)
            OUTCOMES.labels(name, "find_failed").inc()
            return []
        items = {str(item): item for item in found}
        steps = [asyncio.create_task(self._guarded(this, key, items[key])) for key in items if self._may_try(key)]
        self.status.last_run_at, self.status.found, self.status.error = this.at, len(found), None
        LAST_RUN.labels(name).set(this.at.timestamp())
        DURATION.labels(name).observe(time.monotonic() - began)
        return steps

    async def _guarded(self, this: Round, key: str, item: Any) -> str:  # noqa: ANN401 - items are the reconciler's own
        self._in_hand.add(key)
        try:
            async with self._gate(item):
                outcome = await self._step(this, item)
        finally:
            self._in_hand.discard(key)
        self.status.outcomes[outcome] += 1
        return outcome

    async def _step(self, this: Round, item: Any) -> str:  # noqa: ANN401 - items are the reconciler's own
        name, key = self.reconciler.name, str(item)
        try:
            async with asyncio.timeout(self.reconciler.step_seconds_max):
                outcome = await self.reconciler.step(this, item)
            self._waiting.pop(key, None)
        except StaleFenceError:
            outcome = "stale_fence"
        except Exception as error:
            outcome = "failed"
            waited = self._waiting.setdefault(key, _Waiting(0, 0.0))
            waited.tries += 1
            pause = min(_BACKOFF_MAX_SECONDS, _BACKOFF_FIRST_SECONDS * 2 ** min(waited.tries, 10))
            waited.until = self._monotonic() + pause
            log.warning(
                "reconciler.step_failed",
                reconciler=name,
                item=key,
                error=repr(error),
                tries=waited.tries,
                exc_info=True,
            )
        OUTCOMES.labels(name, outcome).inc()
        return outcome

    def _gate(self, item: Any) -> asyncio.Semaphore:  # noqa: ANN401 - items are the reconciler's own
        lane = self.reconciler.lane(item) if self.reconciler.lane else ""
        return self._gates.setdefault(lane, asyncio.Semaphore(self.reconciler.concurrency))

    def _may_try(self, key: str) -> bool:
        waiting = self._waiting.get(key)
        return key not in self._in_hand and (waiting is None or waiting.until <= self._monotonic())
