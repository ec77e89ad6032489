"""A rental's events, as a list and as server-sent events.

A stream looks every second in a short transaction of its own, so it holds no connection while it waits. It ends when
the rental is over and everything was sent, after half an hour, or as soon as its key or session no longer opens.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Request

from app.events import EventRow, in_dollars, list_events
from app.kit.db import is_transient
from app.kit.errors import AppError
from app.kit.ids import RentalId
from app.rentals import queries
from app.rentals.models import RentalRow
from app.rentals.showing.reach import sees
from app.rentals.states import TERMINAL
from app.web import AppState, Principal, Proof
from app.web.errors import ValidationFailed
from app.web.schemas import TimeOut, Wire
from app.web.streams import KEEP_ALIVE_SECONDS, LIFE_SECONDS, POLL_SECONDS, STREAMS

_BATCH = 200
_SEQ_DIGITS = 15


class RentalEvent(Wire):
    """One thing that happened to a rental; ``seq`` counts its events from 1 without gaps."""

    id: str
    object: Literal["event"] = "event"
    seq: int
    type: str
    rental_id: str
    at: TimeOut
    actor: str
    data: dict[str, Any]

    @classmethod
    def of(cls, row: EventRow) -> RentalEvent:
        """Return an event as it is shown: amounts in dollars."""
        return cls(
            id=row.id,
            seq=row.seq,
            type=row.type,
            rental_id=row.subject,
            at=row.at,
            actor=row.actor,
            data=in_dollars(row.data),
        )


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens to what, and with what it proves again and again that it may."""

    caller: Principal
    proof: Proof
    rental: RentalRow
    """As it was when the stream began: whose it is never changes."""

    @classmethod
    def of(cls, request: Request, caller: Principal, rental: RentalRow) -> Listener:
        """Return the listener of a request whose caller is known and sees the rental."""
        return cls(caller, Proof.of(request), rental)

    async def may_still_listen(self, state: AppState) -> bool:
        """Say whether the key or the session still opens, for the same account, with its scope and within its reach."""
        try:
            now = await self.proof.caller(state, at=state.clock.now())
        except AppError:
            return False
        is_same = now.account_id == self.caller.account_id
        return is_same and now.may("rentals:read") and sees(now, self.rental)


def last_event_id(request: Request) -> int:
    """Return the sequence number after which a stream goes on, 0 for the beginning.

    Raises:
        ValidationFailed: the header is no number of an event.
    """
    text = request.headers.get("last-event-id", "").strip() or "0"
    if not (text.isascii() and text.isdigit()) or len(text) > _SEQ_DIGITS:
        problem = {"pointer": "header:/Last-Event-ID", "code": "int_parsing", "message": "must be an event's seq"}
        raise ValidationFailed(errors=[problem])
    return int(text)


async def stream(state: AppState, listener: Listener, rental_id: RentalId, *, after_seq: int) -> AsyncIterator[str]:
    """Yield a rental's events after a sequence number as server-sent events, then those that come."""
    with STREAMS.counted(listener.caller.account_id):
        async for told in _told_as_they_come(state, listener, rental_id, after_seq=after_seq):
            yield told


async def _told_as_they_come(
    state: AppState, listener: Listener, rental_id: RentalId, *, after_seq: int
) -> AsyncIterator[str]:
    ends = time.monotonic() + LIFE_SECONDS
    quiet_since = time.monotonic()
    yield "retry: 2000\n\n"
    while time.monotonic() < ends and await listener.may_still_listen(state):
        try:
            rows, over = await _look(state, listener, rental_id, after_seq=after_seq)
        except Exception as error:
            if is_transient(error):
                return  # the client comes back with its Last-Event-ID
            raise
        for row in rows:
            yield _told(RentalEvent.of(row))
            after_seq, quiet_since = row.seq, time.monotonic()
        if len(rows) == _BATCH:
            continue
        if over:
            return
        if time.monotonic() - quiet_since >= KEEP_ALIVE_SECONDS:
            yield ": keep-alive\n\n"
            quiet_since = time.monotonic()
        await state.clock.sleep(POLL_SECONDS)


async def _look(
    state: AppState, listener: Listener, rental_id: RentalId, *, after_seq: int
) -> tuple[list[EventRow], bool]:
    """Return what is new, and whether that is all there will be: the status is read first, so no event is missed."""
    account_id = listener.caller.account_id
    async with state.db.begin(account_id) as session:
        status = await queries.find_status(session, account_id=account_id, rental_id=rental_id)
        rows = await list_events(session, account_id=account_id, subject=rental_id, after_seq=after_seq, limit=_BATCH)
    return list(rows), status is None or status in TERMINAL


def _told(event: RentalEvent) -> str:
    return f"id: {event.seq}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
