"""Virtual time, in which one simulated process runs at a moment, so that a seed tells the whole story.

A process holds the baton while it works, database calls included, and lays it down only where it waits for virtual
time: between two looks, or while a cloud takes its time to answer. Whatever is to happen meanwhile happens then.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Coroutine
from datetime import datetime, timedelta
from itertools import count
from typing import Any

_LOOPS = 12
"""Rounds of the event loop after which everything that waits for nothing has had its turn."""
_STUCK_SECONDS = 120.0


class StuckError(Exception):
    """Who has the baton waits for something that only somebody without it could do."""


class Turn:
    """One wait for the baton. ``owner`` may be frozen: then it waits on."""

    __slots__ = ("future", "owner", "task")

    def __init__(self, task: asyncio.Task[Any] | None, owner: Any) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task, self.owner = task, owner


class Bell:
    """Wakes the one who pauses by it."""

    turn: Turn | None = None


class Timeline:
    """The clock of a simulated day."""

    def __init__(self, at: datetime) -> None:
        self.at = self._start = at
        self._heap: list[tuple[datetime, int, Turn]] = []
        self._numbers = count()
        self._queue: deque[Turn] = deque()
        self._holder: asyncio.Task[Any] | None = None
        self._rest = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - self._start).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Wait without ever having had the baton: for what happens inside a cloud."""
        await self._push(seconds, Turn(None, None))

    async def pause(self, seconds: float, owner: Any = None, *, bell: Bell | None = None) -> None:
        """Lay the baton down for a while. Where the caller has none (part of a process's work), no time passes."""
        task = asyncio.current_task()
        if task is self._holder:
            turn = Turn(task, owner)
            if bell is not None:
                bell.turn = turn
            waiting = self._push(seconds, turn)
            self.leave()
            await waiting

    def ring(self, bell: Bell) -> None:
        """Let whoever pauses by this bell go on now."""
        if bell.turn is not None and not bell.turn.future.done():
            heapq.heappush(self._heap, (self.at, next(self._numbers), bell.turn))

    async def enter(self) -> None:
        """Take the baton, in the order of asking."""
        turn = Turn(asyncio.current_task(), None)
        self._queue.append(turn)
        self._next()
        await turn.future

    def leave(self) -> None:
        """Lay it down."""
        if self._holder is asyncio.current_task():
            self._holder = None
            self._next()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin a process that holds the baton whenever it runs."""

        async def process() -> None:
            await self.enter()
            try:
                await work
            finally:
                self.leave()

        task = asyncio.create_task(process())
        self._tasks.add(task)
        return task

    async def run_until(self, at: datetime) -> None:
        """Let everything happen up to a moment. Raises what a process raised."""
        while True:
            await self._settled()
            if not self._heap or self._heap[0][0] > at:
                break
            due, _, turn = heapq.heappop(self._heap)
            self.at = max(self.at, due)
            if turn.future.done():
                continue
            if turn.owner is not None and turn.owner.frozen_until > self.at:
                heapq.heappush(self._heap, (turn.owner.frozen_until, next(self._numbers), turn))
            elif turn.task is None:
                turn.future.set_result(None)
            else:
                self._queue.append(turn)
                self._next()
        self.at = at

    def _push(self, seconds: float, turn: Turn) -> asyncio.Future[None]:
        heapq.heappush(self._heap, (self.at + timedelta(seconds=seconds), next(self._numbers), turn))
        if turn.owner is not None:
            turn.owner.turns.add(turn)
            turn.future.add_done_callback(lambda _: turn.owner.turns.discard(turn))
        return turn.future

    def _next(self) -> None:
        while self._holder is None and self._queue:
            turn = self._queue.popleft()
            if not turn.future.done():
                self._holder = turn.task
                turn.future.set_result(None)
        if self._holder is None:
            self._rest.set()
        else:
            self._rest.clear()

    async def _settled(self) -> None:
        """Wait until everybody waits for a later moment."""
        while True:
            for _ in range(_LOOPS):
                await asyncio.sleep(0)
            if self._holder is None and not self._queue:
                break
            try:
                async with asyncio.timeout(_STUCK_SECONDS):
                    await self._rest.wait()
            except TimeoutError:
                raise StuckError(
                    "\n".join(_awaited(self._holder))
                    + repr([(t.future, t.task) for t in self._queue])
                    + repr(self._rest)
                ) from None
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error


def _awaited(task: asyncio.Task[Any] | None) -> list[str]:
    """Return what a task waits for, from the outside in."""
    told, inner = [str(task)], task.get_coro() if task else None
    while inner is not None:
        frame = getattr(inner, "cr_frame", None) or getattr(inner, "gi_frame", None) or getattr(inner, "ag_frame", None)
        told.append(f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else repr(inner))
        mortal = frame.f_locals.get("self") if frame else None
        names = ("cr_await", "gi_yieldfrom", "ag_await")
        inner = next((getattr(inner, name) for name in names if hasattr(inner, name)), None) or getattr(
            mortal, "work", None
        )
    return told
