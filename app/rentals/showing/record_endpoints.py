"""What is on record of a rental, over HTTP: events, logs, attempts, meter, receipt."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from app import wallet
from app.events import list_events
from app.kit.errors import InvalidState, NotFound
from app.rentals import queries
from app.rentals.asking.schemas import Attempt, Log, LogPiece, LogQuery, MeterView
from app.rentals.asking.wishes import EventPage
from app.rentals.showing.receipts import Receipt, ReceiptQuery, receipt_of
from app.rentals.showing.streaming import Listener, RentalEvent, last_event_id, stream
from app.rentals.showing.views import get_row, get_seen, known_id, meter_view
from app.web import (
    ListAnswer,
    Principal,
    Work,
    answer,
    calling,
    list_answer,
    new_router,
    responses_for,
    working,
)
from app.web.errors import InvalidCursor
from app.web.exchange import state_of
from app.web.streams import MEDIA_TYPE, STREAM_HEADERS, STREAMS, wants_stream

router = new_router("/v1/rentals", tag="rentals")
Reading = Annotated[Work, Depends(working("rentals:read"), scope="function")]
Caller = Annotated[Principal, Depends(calling("rentals:read"))]


@router.get(
    "/{rental_id}/events",
    response_model=ListAnswer[RentalEvent],
    operation_id="list_rental_events",
    responses={
        200: {
            "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": "id: 1\nevent: rental.provisioning\n…"}}
        },
        **responses_for(NotFound, InvalidCursor),
    },
)
async def events(rental_id: str, page: Annotated[EventPage, Query()], caller: Caller, request: Request) -> Response:
    """Return a rental's events, the oldest first; with `Accept: text/event-stream` as they happen.

    A stream goes on after `Last-Event-ID`, and ends when the rental is over, or after half an hour.
    """
    known, state = known_id(rental_id), state_of(request)
    at, account_id = state.clock.now(), caller.account_id
    streams = wants_stream(request)
    after = last_event_id(request) or page.after_seq
    if not streams and (position := state.cursors.open(page, account_id=account_id, at=at)) is not None:
        after = int(position[0])
    async with state.db.begin(account_id) as session:
        row = await get_row(session, known, principal=caller)
        if not streams:
            rows = await list_events(
                session, account_id=account_id, subject=known, after_seq=after, limit=page.limit + 1
            )
    if streams:
        STREAMS.require_room(account_id)
        told = stream(state, Listener.of(request, caller, row), known, after_seq=after)
        return StreamingResponse(told, media_type=MEDIA_TYPE, headers=STREAM_HEADERS)
    return answer(
        list_answer(
            rows,
            page,
            render=RentalEvent.of,
            seal=lambda row: state.cursors.seal((row.seq,), page, account_id=account_id, at=at),
        )
    )


@router.get("/{rental_id}/logs", response_model=Log, operation_id="get_rental_logs", responses=responses_for(NotFound))
async def logs(rental_id: str, query: Annotated[LogQuery, Query()], work: Reading) -> Response:
    """Return the startup script's output from an offset on; ask again from `next_offset` until `complete`."""
    row = await get_row(work.session, rental_id, principal=work.principal)
    pieces = await queries.list_logs(
        work.session,
        account_id=work.account_id,
        rental_id=known_id(rental_id),
        offset=query.offset,
        limit=query.limit + 1,
    )
    # A piece that came after the row was read is told next time, so that offsets agree.
    known = [piece for piece in pieces if piece.from_offset < row.log_offset]
    more = len(known) > query.limit
    next_offset = known[query.limit].from_offset if more else max(row.log_offset, query.offset)
    told = Log(
        rental_id=row.id,
        data=[LogPiece(offset=piece.from_offset, text=piece.text, at=piece.at) for piece in known[: query.limit]],
        next_offset=next_offset,
        complete=not more and (row.log_exit is not None or row.launch["startup_script"] is None),
        exit_status=row.log_exit if row.log_exit is not None and row.log_exit >= 0 else None,
    )
    return answer(told)


@router.get(
    "/{rental_id}/attempts",
    response_model=ListAnswer[Attempt],
    operation_id="list_rental_attempts",
    responses=responses_for(NotFound),
)
async def attempts(rental_id: str, work: Reading) -> Response:
    """Return the listings on which the rental was tried, in order, and what came of each."""
    row = await get_row(work.session, rental_id, principal=work.principal)
    rows = await queries.list_attempts(work.session, account_id=work.account_id, rental_ids=[row.id])
    return answer(ListAnswer(data=[Attempt.of(attempt) for attempt in rows], has_more=False))


@router.get(
    "/{rental_id}/meter", response_model=MeterView, operation_id="get_rental_meter", responses=responses_for(NotFound)
)
async def meter(rental_id: str, work: Reading) -> Response:
    """Return what the rental costs at this very second."""
    row = await get_row(work.session, rental_id, principal=work.principal)
    known = known_id(rental_id)
    holds = await wallet.find_holds(work.session, account_id=work.account_id, rental_ids=[known])
    return answer(meter_view(row, holds[known], at=work.at))


@router.get(
    "/{rental_id}/receipt",
    response_model=Receipt,
    operation_id="get_rental_receipt",
    responses=responses_for(NotFound, InvalidState),
)
async def receipt(rental_id: str, query: Annotated[ReceiptQuery, Query()], work: Reading) -> Response:
    """Return a settled rental's receipt: every movement of the ledger for it, and their sums."""
    seen = await get_seen(work.session, rental_id, principal=work.principal)
    return answer(await receipt_of(work.session, seen, query, account_id=work.account_id))
