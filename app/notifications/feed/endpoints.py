"""``GET /v1/events``: what happened in the account, as a list from either end, and as a stream."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId, EventId
from app.notifications.feed import listing
from app.notifications.feed.streaming import Listener, stream
from app.notifications.told import EventOut
from app.web import ListAnswer, Page, Principal, answer, calling, list_answer, new_router, responses_for
from app.web.errors import InvalidCursor, RateLimited, ValidationFailed
from app.web.exchange import state_of
from app.web.streams import MEDIA_TYPE, STREAM_HEADERS, STREAMS, wants_stream

router = new_router("/v1/events", tag="events")
Caller = Annotated[Principal, Depends(calling("rentals:read"))]
_LAST_EVENT_ID: Final = "header:/Last-Event-ID"


class FeedPage(Page):
    """The query of the list of events."""

    type: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z_]{1,40}\.(\*|[a-z0-9_]{1,60})$",
            description="One type, or all of a topic's: `rental.*`.",
            examples=["rental.*"],
        ),
    ] = None
    after: Annotated[
        str | None, Field(max_length=64, description="An event's id: what came after it, the oldest first.")
    ] = None


@router.get(
    "",
    response_model=ListAnswer[EventOut],
    operation_id="list_events",
    responses={
        200: {
            "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": "id: evt_…\nevent: rental.running\n…"}}
        },
        **responses_for(InvalidCursor, RateLimited),
    },
)
async def events(page: Annotated[FeedPage, Query()], caller: Caller, request: Request) -> Response:
    """Return what happened in the account, newest first; with `after` what came after an event, the oldest first.

    With `Accept: text/event-stream` events come as they happen, after `Last-Event-ID` or `after`, else from now on; a
    stream ends after half an hour. An event is shown within a second or so of its commit, each once and always in the
    same order. Callers see what is within their reach; what concerns the account as a whole needs `billing:read`.
    """
    if wants_stream(request):
        return await _streamed(request, caller, page)
    state, sight = state_of(request), listing.Sight.of(caller)
    at = state.clock.now()
    position = state.cursors.open(page, account_id=caller.account_id, at=at)
    place = None if position is None else int(position[0])
    async with state.db.begin(caller.account_id) as session:
        if page.after is None:
            found = await listing.list_before(session, sight, before=place, wanted=page.type, limit=page.limit + 1)
        else:
            after = await _place_of(session, page.after, "query:/after", account_id=caller.account_id)
            after = after if place is None else place
            found = await listing.list_after(session, sight, after=after, wanted=page.type, limit=page.limit + 1)

    def seal(entry: listing.Entry) -> str:
        """Return the cursor of the page after an event."""
        return state.cursors.seal((entry.position,), page, account_id=caller.account_id, at=at)

    return answer(list_answer(found, page, render=lambda entry: entry.event.shown, seal=seal))


async def _streamed(request: Request, caller: Principal, page: FeedPage) -> Response:
    state = state_of(request)
    STREAMS.require_room(caller.account_id)
    seen, pointer = request.headers.get("last-event-id", "").strip(), _LAST_EVENT_ID
    if not seen:
        seen, pointer = page.after or "", "query:/after"
    async with state.db.begin(caller.account_id) as session:
        if seen:
            after = await _place_of(session, seen, pointer, account_id=caller.account_id)
        else:
            after = await listing.last_position(session, account_id=caller.account_id)
    told = stream(state, Listener.of(request, caller, wanted=page.type), after=after)
    return StreamingResponse(told, media_type=MEDIA_TYPE, headers=STREAM_HEADERS)


async def _place_of(session: AsyncSession, event_id: str, pointer: str, *, account_id: AccountId) -> int:
    """Return the place of an event that somebody has seen.

    Raises:
        ValidationFailed: the account has no such event.
    """
    try:
        known = EventId.parse(event_id)
    except ValueError:
        known = None
    place = None if known is None else await listing.find_position(session, account_id=account_id, event_id=known)
    if place is None:
        problem = {"pointer": pointer, "code": "unknown_event", "message": "must be the id of an event of this account"}
        raise ValidationFailed(errors=[problem])
    return place
