"""The clock: the only place that asks what time it is. Everything inside takes ``at`` as an argument."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits. Product time goes through it, so a test can own it."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of this clock."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place

    async def sleep(self, seconds: float) -> None:
        """Wait for so many real seconds."""
        await asyncio.sleep(seconds)


def rfc3339(at: datetime) -> str:
    """Return a moment as RFC 3339 in UTC with ``Z`` and milliseconds, the wire's form."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def whole_seconds(start: datetime, end: datetime) -> int:
    """Return the whole seconds from start to end, floored, never below zero."""
    delta = end - start
    return max(0, delta.days * 86_400 + delta.seconds)
