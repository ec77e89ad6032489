"""Pacing: clouds want a minimum interval between two calls of a kind; whoever comes too early waits here.

Where a cloud counts calls within a window instead, some may come at once: a burst, earned back call by call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping

from app.providers.errors import RateLimited

_MARGIN = 1.1
"""Calls don't all take as long to arrive, so they are sent a little further apart than the cloud wants."""


class Pacer:
    """Gives out turns, spaced per endpoint, within this process. Other processes show up as the cloud's 429."""

    def __init__(
        self,
        intervals: Mapping[str, float],
        *,
        bursts: Mapping[str, int] | None = None,
        factor: float = 1.0,
        longest_wait_seconds: float = 15.0,
    ) -> None:
        """Take endpoint → seconds between two calls, and endpoint → calls that may come at once, 1 by default.

        ``factor`` 0 turns pacing off, as for a cloud on this machine.
        """
        self._intervals = {endpoint: seconds * factor * _MARGIN for endpoint, seconds in intervals.items()}
        early = {endpoint: burst - 1 for endpoint, burst in (bursts or {}).items()}
        self._credits = {endpoint: early.get(endpoint, 0) * seconds for endpoint, seconds in self._intervals.items()}
        self._longest_wait_seconds = longest_wait_seconds
        self._free_at: dict[str, float] = {}
        """When a call would be in order if none ever came early. A burst's calls come before it."""

    def interval(self, endpoints: Iterable[str]) -> float:
        """Return the longest interval among some endpoints, 0 where none is known."""
        return max((self._intervals.get(endpoint, 0.0) for endpoint in endpoints), default=0.0)

    async def turn(self, endpoints: Iterable[str]) -> None:
        """Wait until a call to all these endpoints is in order, and take the turn.

        Raises:
            RateLimited: the queue is so long that the caller had better come back; no turn was taken.
        """
        paced = [endpoint for endpoint in endpoints if endpoint in self._intervals]
        now = time.monotonic()
        start = max((self._free_at.get(each, now) - self._credits[each] for each in paced), default=now)
        wait = max(0.0, start - now)
        if wait > self._longest_wait_seconds:
            raise RateLimited("our own pace is used up", retry_after_seconds=wait)
        for endpoint in paced:
            begun = max(now + wait, self._free_at.get(endpoint, 0.0))
            self._free_at[endpoint] = begun + self._intervals[endpoint]
        if wait:
            await asyncio.sleep(wait)

    def hold(self, endpoints: Iterable[str], seconds: float) -> None:
        """Let nobody call these endpoints for a while, as the cloud asked."""
        for endpoint in endpoints:
            if self._intervals.get(endpoint):
                until = time.monotonic() + seconds + self._credits[endpoint]
                self._free_at[endpoint] = max(until, self._free_at.get(endpoint, until))
