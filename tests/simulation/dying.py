"""Processes that may die at any suspension: what they were doing is never resumed, their connections are cut."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Coroutine, Generator
from datetime import UTC, datetime
from typing import Any

from app.kit.db import Database

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class DiedError(BaseException):
    """The process has died here."""


class Life:
    """One run of a process."""

    def __init__(self, name: str, db: Database) -> None:
        self.name, self.db = name, db
        self.dead = False
        self.frozen_until = LONG_AGO
        self.turns: set[Any] = set()
        """Where its tasks wait for virtual time."""

    def die(self) -> None:
        """Resume nothing of it any more. Its tasks end as soon as the loop comes to them."""
        self.dead = True
        keep_for_ever(self)
        for turn in list(self.turns):
            if not turn.future.done():
                turn.future.set_result(None)


class Mortal:
    """Awaits some work of a life, until that life ends, here (after ``dies_at`` suspensions) or elsewhere.

    What was sent before a death is still dealt with by whoever got it: it dies once the answer is there, unread.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], life: Life, *, dies_at: int | None) -> None:
        self.work, self.life, self.dies_at, self.points = work, life, dies_at, 0

    def __await__(self) -> Generator[Any, Any, Any]:
        if self.life.dead:
            self.work.close()
            raise DiedError
        inner = self.work.__await__()
        thrown: BaseException | None = None
        while True:
            hooks = sys.get_asyncgen_hooks()
            sys.set_asyncgen_hooks(None, None)  # the loop must not tidy up after the dead
            try:
                waited_for = inner.throw(thrown) if thrown else inner.send(None)
            except StopIteration as done:
                return done.value
            finally:
                sys.set_asyncgen_hooks(*hooks)
            self.points += 1
            try:
                thrown = None
                yield waited_for
            except BaseException as error:  # noqa: BLE001 - passed on to the work itself
                thrown = error
            if self.life.dead or self.points == self.dies_at:
                keep_for_ever((inner, self.work, waited_for))
                raise DiedError


def keep_for_ever(dead: object) -> None:
    """Hold on to the dead: a garbage collector would run their cleanups, and a dead process runs none."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(dead))
