"""Signing in over HTTP: two addresses that a browser is sent to. They are no calls of the API: a browser follows them.

Both are GETs that change something, as OAuth has it. What they change is of use to nobody but the browser that asks:
the first keeps a secret there without which the second does nothing, and the second works once.
"""

from __future__ import annotations

from typing import Final, Protocol, cast

from fastapi import APIRouter, Request, Response
from prometheus_client import Counter

from app.kit.errors import AppError
from app.tenancy.people.errors import SignInFailed, SignInNotSetUp
from app.tenancy.people.pages import refusal_page, wants_page
from app.tenancy.people.sessions import Sessions
from app.tenancy.people.signing_in import RETURN_TO, SIGN_IN_LASTS, Return, SignIn, local_path
from app.tenancy.people.telling import tell
from app.web import AppState
from app.web.admitting import address_of, set_session
from app.web.browsing import SESSION
from app.web.exchange import exchange_of, state_of

SIGN_IN: Final = "hourglass-sign-in"
"""The name of the cookie that a browser keeps while it is on its way."""

OUTCOMES = Counter("hourglass_sign_ins", "Browsers that came back from GitHub, by what came of it", ["outcome"])

router = APIRouter(prefix="/v1/auth", tags=["sessions"], include_in_schema=False)


class PeopleState(AppState, Protocol):
    """What signing in needs beside the edge's own state."""

    @property
    def sign_in(self) -> SignIn | None:
        """The way in by GitHub; None where it is not set up."""
        ...


@router.get("/github", operation_id="begin_sign_in")
async def begin(request: Request, return_to: str = RETURN_TO) -> Response:
    """Send the browser to GitHub. ``return_to`` is the path of this service where it goes once it is signed in."""
    state, sign_in, sessions = _tools(request)
    state.limiter.admit_sign_in(address_of(request.scope))
    departure = await sign_in.begin(local_path(return_to), at=state.clock.now())
    cookie = sessions.site.cookie(SIGN_IN, departure.browser, seconds=int(SIGN_IN_LASTS.total_seconds()))
    exchange_of(request.scope).cookies = [cookie]
    return Response(status_code=303, headers={"Location": departure.url})


@router.get("/github/callback", operation_id="finish_sign_in")
async def finish(request: Request) -> Response:
    """Take the browser back from GitHub, sign its person in, and send it where it wanted to go."""
    try:
        arrived = await _finish(request)
    except AppError as error:
        OUTCOMES.labels(error.code).inc()
        if not wants_page(request):
            raise
        exchange_of(request.scope).code = error.code
        return refusal_page(error)
    OUTCOMES.labels("signed_in").inc()
    return arrived


async def _finish(request: Request) -> Response:
    state, sign_in, sessions = _tools(request)
    address = address_of(request.scope)
    state.limiter.check_address(address)
    site = sessions.site
    try:
        back = Return(
            browser=site.find_cookie(request.scope, SIGN_IN),
            state=_one(request, "state") or "",
            code=_one(request, "code"),
            error=_one(request, "error"),
            user_agent=request.headers.get("user-agent", ""),
            address=address,
            session=site.find_cookie(request.scope, SESSION),
        )
        arrival = await sign_in.finish(back, at=state.clock.now())
    except SignInFailed:
        state.limiter.count_failure(address)
        raise
    await tell(state.db, arrival.person, "session.begun", at=state.clock.now())
    set_session(request.scope, site, arrival.secret)
    exchange = exchange_of(request.scope)
    exchange.cookies.append(site.cookie(SIGN_IN, "", seconds=0))
    exchange.principal = arrival.person.principal
    return Response(status_code=303, headers={"Location": arrival.return_to})


def _tools(request: Request) -> tuple[PeopleState, SignIn, Sessions]:
    state = cast("PeopleState", state_of(request))
    if state.sign_in is None or not isinstance(state.sessions, Sessions):
        raise SignInNotSetUp
    return state, state.sign_in, state.sessions


def _one(request: Request, name: str) -> str | None:
    """Return a parameter that stands there once; two would leave open which one counts."""
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise SignInFailed
    return values[0] if values else None
