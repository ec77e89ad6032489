"""Verifying: an account's chain read again from its rows, every hash recomputed, and its end compared with its head.

A row that was changed no longer gives its hash; one that was taken out leaves a gap, or ends the chain before its head;
one that was put in has no place. Who rewrites the chain from some row to its very end, head included, is found by a
hash that was kept elsewhere before: by the worker's own check, and by every caller who kept one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import queries
from app.audit.entries import canonical, link, origin_of
from app.kit.db import driver

_ROWS_MAX: Final = 250
"""Hashed at a stretch: a few milliseconds, in which nobody else is served."""
_HASHED: Final = len(queries.COLUMNS.split(", "))

Trouble = Literal["changed", "missing", "beyond_the_end", "not_as_kept"]
"""A hash that is not its row's; a row that is not there; rows after the head; another history than the one that was kept."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a chain: how many entries lead there, and the hash of the last."""

    seq: int
    hash: bytes


class ChainBrokenError(Exception):
    """The chain does not lead on."""

    def __init__(self, seq: int, trouble: Trouble) -> None:
        super().__init__(seq, trouble)
        self.seq = seq
        self.trouble: Trouble = trouble


@dataclass(slots=True)
class Walk:
    """A way along one chain, entry by entry, from rows or from the lines of an export."""

    place: Place
    """How far everything agrees."""
    kept: Place | None = None
    """Where the chain must lead through."""

    def take(self, seq: int, text: bytes, stored: bytes) -> None:
        """Go on to the entry of these canonical bytes.

        Raises:
            ChainBrokenError: it is not the next, or not what was written.
        """
        if seq != self.place.seq + 1:
            raise ChainBrokenError(min(seq, self.place.seq + 1), "missing")
        following = Place(seq, link(self.place.hash, text))
        if following.hash != stored:
            raise ChainBrokenError(seq, "changed")
        self.place = following
        self.check_kept()

    def check_kept(self) -> None:
        """Pass unless another hash was kept of this very place.

        Raises:
            ChainBrokenError: it was.
        """
        if self.kept is not None and self.kept.seq == self.place.seq and self.kept.hash != self.place.hash:
            raise ChainBrokenError(self.place.seq, "not_as_kept")


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found of a chain, from one place to another."""

    reached: Place
    """The last place up to which everything agrees."""
    is_whole: bool
    """Whether that is the chain's end."""
    first_bad_seq: int | None = None
    trouble: Trouble | None = None
    checked_at: datetime | None = None
    """When the worker last looked."""

    @property
    def ok(self) -> bool:
        """Whether nothing was found amiss."""
        return self.trouble is None


def beginning(account_id: str) -> Place:
    """Return where an account's chain begins: before its first entry."""
    return Place(0, origin_of(account_id))


async def verify(
    session: AsyncSession, *, account_id: str, after: Place | None = None, rows_max: int | None = None
) -> Verified:
    """Verify an account's chain from a place that was kept, or its beginning, over at most so many entries.

    Entries that are written meanwhile are left for the next time.
    """
    end = await _read_end(session, account_id)
    walk = Walk(after or beginning(account_id), end.kept)
    until = end.seq if rows_max is None else min(end.seq, walk.place.seq + rows_max)
    try:
        walk.check_kept()
        end.check_begin(walk.place)
        async for row in _rows(session, account_id, after=walk.place.seq, until=until):
            walk.take(row["seq"], canonical(row[:_HASHED], json.loads(row["details"])), row["hash"])
        end.check_reached(walk.place, until)
    except ChainBrokenError as broken:
        return Verified(walk.place, False, broken.seq, broken.trouble, end.checked_at)
    return Verified(walk.place, until == end.seq, checked_at=end.checked_at)


@dataclass(frozen=True, slots=True)
class _End:
    seq: int
    hash: bytes | None
    first: int
    last: int
    kept: Place | None
    checked_at: datetime | None

    def check_begin(self, place: Place) -> None:
        """Pass when a walk can begin at a place.

        Raises:
            ChainBrokenError: the chain ends before it, or has rows before its first.
        """
        if place.seq > self.seq:
            raise ChainBrokenError(self.seq + 1, "missing")
        if self.first < 1:
            raise ChainBrokenError(self.first, "beyond_the_end")

    def check_reached(self, place: Place, until: int) -> None:
        """Pass when a walk that was to go up to an entry got there, and the end is as head, rows and check say.

        Raises:
            ChainBrokenError: it did not, or it is not.
        """
        if place.seq < until:
            raise ChainBrokenError(place.seq + 1, "missing")
        if until < self.seq:
            return
        if self.hash is not None and place.hash != self.hash:
            raise ChainBrokenError(self.seq, "not_as_kept")
        if self.last > self.seq:
            raise ChainBrokenError(self.seq + 1, "beyond_the_end")
        if self.kept is not None and self.kept.seq > self.seq:
            raise ChainBrokenError(self.seq + 1, "missing")


async def _read_end(session: AsyncSession, account_id: str) -> _End:
    rows = await driver(session).fetch(queries.READ_END, account_id)
    seq, head, first, last, kept_seq, kept, checked_at = rows[0]
    return _End(seq, head, first, last, None if kept_seq is None else Place(kept_seq, kept), checked_at)


async def _rows(session: AsyncSession, account_id: str, *, after: int, until: int) -> AsyncIterator[asyncpg.Record]:
    while after < until:
        rows = await driver(session).fetch(queries.READ, account_id, after, until, _ROWS_MAX)
        for row in rows:
            yield row
        if len(rows) < _ROWS_MAX:
            return
        after = rows[-1]["seq"]
        await asyncio.sleep(0)
