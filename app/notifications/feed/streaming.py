"""The feed as server-sent events: everything that happens in an account, as it happens.

A stream looks every second in a short transaction of its own. It begins after the event that the listener saw last, or
now; it ends after half an hour, or as soon as its key or session no longer opens. What the listener may see is found
anew each time: who loses a team sees nothing more of it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request

from app.kit.db import is_transient
from app.kit.errors import AppError
from app.notifications.feed.listing import Entry, Sight, list_after
from app.notifications.told import Told
from app.web import AppState, Principal, Proof
from app.web.streams import KEEP_ALIVE_SECONDS, LIFE_SECONDS, POLL_SECONDS, STREAMS

_BATCH = 200


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens, to which types, and with what it proves again and again that it may."""

    caller: Principal
    proof: Proof
    wanted: str | None

    @classmethod
    def of(cls, request: Request, caller: Principal, *, wanted: str | None) -> Listener:
        """Return the listener of a request whose caller is known."""
        return cls(caller, Proof.of(request), wanted)

    async def sight(self, state: AppState) -> Sight | None:
        """Return what it sees now; None when it may no longer listen, or for another account only."""
        try:
            now = await self.proof.caller(state, at=state.clock.now())
        except AppError:
            return None
        return Sight.of(now) if now.account_id == self.caller.account_id and now.may("rentals:read") else None


async def stream(state: AppState, listener: Listener, *, after: int) -> AsyncIterator[str]:
    """Yield what comes after a place in the feed as server-sent events."""
    with STREAMS.counted(listener.caller.account_id):
        async for told in _told_as_it_comes(state, listener, after=after):
            yield told


async def _told_as_it_comes(state: AppState, listener: Listener, *, after: int) -> AsyncIterator[str]:
    ends = time.monotonic() + LIFE_SECONDS
    quiet_since = time.monotonic()
    yield "retry: 2000\n\n"
    while time.monotonic() < ends:
        try:
            sight = await listener.sight(state)
            if sight is None:
                return
            entries = await _look(state, listener, sight, after=after)
        except Exception as error:
            if is_transient(error):
                return  # the client comes back with its Last-Event-ID
            raise
        for entry in entries:
            yield _told(entry.event)
            after, quiet_since = entry.position, time.monotonic()
        if len(entries) == _BATCH:
            continue
        if time.monotonic() - quiet_since >= KEEP_ALIVE_SECONDS:
            yield ": keep-alive\n\n"
            quiet_since = time.monotonic()
        await state.clock.sleep(POLL_SECONDS)


async def _look(state: AppState, listener: Listener, sight: Sight, *, after: int) -> list[Entry]:
    async with state.db.begin(listener.caller.account_id) as session:
        return await list_after(session, sight, after=after, wanted=listener.wanted, limit=_BATCH)


def _told(event: Told) -> str:
    return f"id: {event.id}\nevent: {event.type}\ndata: {event.shown.model_dump_json()}\n\n"
