"""What the clouds of one sandbox share."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from app.kit.clock import Clock
from app.sandbox.config import SandboxConfig
from app.sandbox.faults import Faults
from app.sandbox.fleet import Fleet
from app.sandbox.limits import Limiter

_CALLS_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call as the cloud saw it: what a test counts."""

    at: datetime
    provider: str
    operation: str
    method: str
    path: str
    status: int
    """0 when the connection was cut without an answer."""


@dataclass(frozen=True, slots=True)
class World:
    """Clock, chance, faults, machines and the record of calls."""

    config: SandboxConfig
    clock: Clock
    faults: Faults
    fleet: Fleet
    limiter: Limiter
    random: random.Random
    calls: deque[CallRecord] = field(default_factory=lambda: deque(maxlen=_CALLS_KEPT))
    closing: asyncio.Event = field(default_factory=asyncio.Event)


class Steps:
    """Counts how many price steps have passed."""

    _MOST = 500

    def __init__(self, seconds: float, *, at: datetime) -> None:
        self._seconds = seconds
        self._start = at
        self._done = 0

    def due(self, at: datetime) -> int:
        """Return the steps since the last call, at most 500 of them."""
        if not self._seconds:
            return 0
        reached = int((at - self._start).total_seconds() / self._seconds)
        due, self._done = reached - self._done, max(self._done, reached)
        return max(0, min(due, self._MOST))
