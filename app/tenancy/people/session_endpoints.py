"""Sessions over HTTP: who is signed in and as what, in which browsers, and in which account. For people, not for keys."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Query, Request, Response

from app import audit
from app.kit.errors import NotFound
from app.kit.finding import known
from app.kit.ids import AccountId, SessionId
from app.tenancy.people.errors import SessionChanged
from app.tenancy.people.schemas import Browser, Membership, SessionChoice, SessionOut, SessionPage
from app.tenancy.people.sessions import Sessions
from app.tenancy.people.telling import tell
from app.web import ListAnswer, SignedIn, Visiting, answer, list_answer, moment_in, new_router, responses_for
from app.web.admitting import drop_session, set_session
from app.web.browsing import SESSION
from app.web.errors import InvalidCursor, Unauthorized
from app.web.exchange import exchange_of, state_of

router = new_router("/v1", tag="sessions")


@router.get("/session", response_model=SessionOut, operation_id="get_session", responses=responses_for())
async def get_session(person: Visiting) -> Response:
    """Return who is signed in, in which account and as what, and the token that its pages send along."""
    return answer(SessionOut.of(person))


@router.put(
    "/session",
    response_model=SessionOut,
    operation_id="choose_account",
    responses=responses_for(NotFound, SessionChanged),
)
async def choose(body: SessionChoice, person: Visiting, request: Request) -> Response:
    """Act in another account of the person's from here on. The session's secret and its token change with it."""
    sessions, at = _sessions(request), state_of(request).clock.now()
    secret = exchange_of(request.scope).session or sessions.site.find_cookie(request.scope, SESSION)
    if secret is None:
        raise Unauthorized
    following, chosen = await sessions.choose(secret, AccountId.parse(body.account_id), at=at)
    set_session(request.scope, sessions.site, following)
    details = audit.changes({"account_id": person.account_id}, {"account_id": chosen.account_id})
    await tell(state_of(request).db, chosen, "session.account_chosen", at=at, details=details)
    return answer(SessionOut.of(chosen))


@router.delete("/session", status_code=204, operation_id="sign_out", responses=responses_for(NotFound))
async def sign_out(person: Visiting, request: Request) -> Response:
    """End this session and take its cookie away."""
    await _end(person, person.session_id, request)
    return Response(status_code=204)


@router.get(
    "/sessions",
    response_model=ListAnswer[Browser],
    operation_id="list_sessions",
    responses=responses_for(InvalidCursor),
)
async def list_all(page: Annotated[SessionPage, Query()], person: Visiting, request: Request) -> Response:
    """Return the browsers in which the person is signed in, newest first."""
    state = state_of(request)
    at, owner = state.clock.now(), AccountId(person.person_id)  # cursors are a person's here, whatever account it chose
    before = moment_in(state.cursors.open(page, account_id=owner, at=at))
    rows = await _sessions(request).list_live(person.person_id, at=at, before=before, limit=page.limit + 1)
    return answer(
        list_answer(
            rows,
            page,
            render=lambda row: Browser.of(row, current=person.session_id),
            seal=lambda row: state.cursors.seal(
                (row["created_at"].isoformat(), row["id"]), page, account_id=owner, at=at
            ),
        )
    )


@router.delete("/sessions", status_code=204, operation_id="end_other_sessions", responses=responses_for())
async def end_others(person: Visiting, request: Request) -> Response:
    """End every session of the person but the one that asks."""
    at = state_of(request).clock.now()
    await _sessions(request).end_others(person.session_id, person.person_id, at=at)
    await tell(state_of(request).db, person, "session.others_ended", at=at)
    return Response(status_code=204)


@router.delete("/sessions/{session_id}", status_code=204, operation_id="end_session", responses=responses_for(NotFound))
async def end_one(session_id: str, person: Visiting, request: Request) -> Response:
    """End one of the person's sessions, at once and for good."""
    await _end(person, known(SessionId, session_id, "session"), request)
    return Response(status_code=204)


@router.get(
    "/me/accounts",
    response_model=ListAnswer[Membership],
    operation_id="list_own_accounts",
    responses=responses_for(),
)
async def list_accounts(person: Visiting, request: Request) -> Response:
    """Return every account that the person belongs to, the one joined last first."""
    rows = await _sessions(request).memberships(person.person_id)
    return answer(
        ListAnswer[Membership](data=[Membership.of(row, current=person.account_id) for row in rows], has_more=False)
    )


async def _end(person: SignedIn, session_id: SessionId, request: Request) -> None:
    sessions, at = _sessions(request), state_of(request).clock.now()
    await sessions.end(session_id, person.person_id, at=at)
    if session_id == person.session_id:
        drop_session(request.scope, sessions.site)
    await tell(state_of(request).db, person, "session.ended", at=at, target=session_id)


def _sessions(request: Request) -> Sessions:
    return cast("Sessions", state_of(request).sessions)
