"""Accepting an invitation over HTTP, for whoever was asked in; and the page that its mail leads to."""

from __future__ import annotations

from typing import cast

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from app.kit.errors import NotFound
from app.kit.finding import nothing
from app.kit.ids import AccountId, InvitationId
from app.tenancy.authenticating import TenancyState
from app.tenancy.errors import InvitationOver
from app.tenancy.forgetting import forget_person_now
from app.tenancy.invitations.accepting import accept
from app.tenancy.invitations.pages import accept_page
from app.tenancy.invitations.schemas import InvitationAccept, Joined
from app.tenancy.invitations.tokens import is_token, token_hash
from app.tenancy.queries import FIND_INVITATION
from app.web import Visiting, answer, new_router, responses_for
from app.web.admitting import address_of
from app.web.errors import AccountSuspended, Forbidden
from app.web.exchange import state_of

router = new_router("/v1/invitations", tag="members")


@router.post(
    "/accept",
    response_model=Joined,
    operation_id="accept_invitation",
    responses=responses_for(NotFound, Forbidden, AccountSuspended, InvitationOver),
)
async def accept_invitation(body: InvitationAccept, person: Visiting, request: Request) -> Response:
    """Join the account that one was asked into, as the person signed in. Accepting it again answers the same."""
    state = cast("TenancyState", state_of(request))
    at = state.clock.now()
    address = address_of(request.scope)
    state.limiter.check_address(address)
    hashed = token_hash(body.token, pepper=state.authenticator.pepper)
    rows = await state.auth_db.fetch_once(FIND_INVITATION, hashed) if is_token(body.token) else []
    if not rows:
        state.limiter.count_failure(address)
        raise nothing("invitation")
    account_id, invitation_id = AccountId(rows[0]["account_id"]), InvitationId(rows[0]["invitation_id"])
    async with state.db.begin(account_id) as session:
        accepted = await accept(session, person, invitation_id, account_id=account_id, hashed=hashed, at=at)
    for user_id in (person.person_id, *accepted.removed):
        forget_person_now(request, user_id, account_id=account_id)
    return answer(Joined.of(accepted.account, accepted.member))


@router.get("/accept", response_class=HTMLResponse, include_in_schema=False)
async def show_page() -> HTMLResponse:
    """Return the page that the mail leads to. The token stands behind the ``#`` of its address and is sent nowhere."""
    return accept_page()
