"""Rate limits as the clouds document them: so many calls within so many seconds, by endpoint and identity."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Pace:
    """At most ``calls`` within ``seconds``; a call too early closes the door for ``penalty_seconds`` more."""

    name: str
    seconds: float
    calls: int = 1
    penalty_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a pace: so many calls, and more of them after so many whole seconds."""

    calls: int
    seconds: int


class Limiter:
    """Counts calls while ``enabled``."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._calls: dict[tuple[str, str], deque[datetime]] = {}
        self._closed_until: dict[tuple[str, str], datetime] = {}

    def refuses(self, paces: tuple[Pace, ...], identity: str, *, at: datetime) -> Pace | None:
        """Return the pace that this call breaks, or None and count the call."""
        if not self.enabled:
            return None
        for pace in paces:
            if self._breaks(pace, identity, at):
                return pace
        for pace in paces:
            self._calls[pace.name, identity].append(at)
        return None

    def left(self, pace: Pace, identity: str, *, at: datetime) -> Left:
        """Return what is left of a pace, without counting a call."""
        since = at - timedelta(seconds=pace.seconds)
        recent = [call for call in self._calls.get((pace.name, identity), ()) if call > since]
        frees = recent[0] + timedelta(seconds=pace.seconds) - at if recent else timedelta(0)
        return Left(max(0, pace.calls - len(recent)), max(1, math.ceil(frees.total_seconds())))

    def _breaks(self, pace: Pace, identity: str, at: datetime) -> bool:
        key = (pace.name, identity)
        recent = self._calls.setdefault(key, deque())
        while recent and recent[0] <= at - timedelta(seconds=pace.seconds):
            recent.popleft()
        if at < self._closed_until.get(key, at):
            return True
        if len(recent) < pace.calls:
            return False
        if pace.penalty_seconds:
            self._closed_until[key] = at + timedelta(seconds=pace.penalty_seconds)
        return True
