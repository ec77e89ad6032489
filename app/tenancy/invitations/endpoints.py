"""Invitations over HTTP, for those who ask people in."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Query, Request, Response

from app import audit
from app.kit.errors import NotFound
from app.tenancy.authenticating import TenancyState
from app.tenancy.errors import (
    AlreadyInvited,
    AlreadyMember,
    InvitationOver,
    SentTooOften,
    TeamArchived,
    TooMany,
    UnknownReference,
)
from app.tenancy.invitations import queries
from app.tenancy.invitations.accepting import known_invitation_id
from app.tenancy.invitations.inviting import Post, Sender, invite, revoke, send_again
from app.tenancy.invitations.schemas import Invitation, InvitationCreate
from app.tenancy.members.changing import require_role_change
from app.tenancy.models import InvitationRow
from app.web import (
    IDEMPOTENT,
    Answer,
    ListAnswer,
    Page,
    Work,
    answer,
    list_answer,
    moment_in,
    new_router,
    replay_or_run,
    responses_for,
    working,
)
from app.web.acts import changed_nothing
from app.web.errors import Forbidden, InvalidCursor, Unavailable
from app.web.exchange import state_of

router = new_router("/v1/invitations", tag="members")
Writing = Annotated[Work, Depends(working("teams:write"), scope="function")]


class InvitationPage(Page):
    """The query of the list of invitations."""


@router.post(
    "",
    status_code=201,
    response_model=Invitation,
    operation_id="create_invitation",
    responses=responses_for(
        Forbidden,
        AlreadyMember,
        AlreadyInvited,
        TeamArchived,
        TooMany,
        UnknownReference,
        SentTooOften,
        *IDEMPOTENT,
    ),
)
async def create(body: InvitationCreate, work: Writing, request: Request) -> Response:
    """Ask somebody into the account by mail. It is accepted within seven days, by whoever has that address."""
    require_role_change(work.principal, was=None, becomes=body.role)

    async def run() -> Answer:
        """Write the invitation with its mail."""
        row = await invite(work.session, Sender.of(work), body.wish(), _post(request))
        after = {"email": row.email, "role": row.role, "teams": row.teams}
        await audit.note(work, "invitation.created", row.id, details={"after": after})
        return Answer(Invitation.of(row, at=work.at), {"Location": f"/v1/invitations/{row.id}"})

    return await replay_or_run(work, request, status=201, run=run)


@router.get(
    "",
    response_model=ListAnswer[Invitation],
    operation_id="list_invitations",
    responses=responses_for(Forbidden, InvalidCursor),
)
async def list_all(page: Annotated[InvitationPage, Query()], work: Writing) -> Response:
    """Return the account's invitations, newest first, those that are over included."""
    _require_inviter(work)
    rows = await queries.page_of_invitations(
        work.session,
        account_id=work.account_id,
        before=moment_in(work.after(page)),
        limit=page.limit + 1,
    )
    return answer(
        list_answer(
            rows,
            page,
            render=lambda row: Invitation.of(row, at=work.at),
            seal=lambda row: work.cursor((row.created_at.isoformat(), row.id), page),
        )
    )


@router.get(
    "/{invitation_id}",
    response_model=Invitation,
    operation_id="get_invitation",
    responses=responses_for(NotFound, Forbidden),
)
async def get_one(invitation_id: str, work: Writing) -> Response:
    """Return one invitation."""
    _require_inviter(work)
    known = known_invitation_id(invitation_id)
    row = await queries.get_invitation(work.session, known, account_id=work.account_id)
    return answer(Invitation.of(row, at=work.at))


@router.post(
    "/{invitation_id}/resend",
    response_model=Invitation,
    operation_id="resend_invitation",
    responses=responses_for(NotFound, Forbidden, InvitationOver, SentTooOften, *IDEMPOTENT),
)
async def resend(invitation_id: str, work: Writing, request: Request) -> Response:
    """Send an invitation again, for another seven days. What was sent before opens no longer."""

    async def run() -> Invitation:
        """Write another mail with another token."""
        row = await _held(invitation_id, work)
        require_role_change(work.principal, was=None, becomes=Invitation.of(row, at=work.at).role)
        await send_again(work.session, Sender.of(work), row, _post(request))
        await audit.note(work, "invitation.resent", row.id, details={"times_sent": row.times_sent})
        return Invitation.of(row, at=work.at)

    return await replay_or_run(work, request, status=200, run=run)


@router.delete(
    "/{invitation_id}",
    response_model=Invitation,
    operation_id="revoke_invitation",
    responses=responses_for(NotFound, Forbidden, InvitationOver),
)
async def delete(invitation_id: str, work: Writing) -> Response:
    """Take an invitation back. Taking it back again changes nothing."""
    row = await _held(invitation_id, work)
    if row.revoked_at is not None:
        changed_nothing(work.session)
    else:
        await revoke(work.session, row, at=work.at)
        await audit.note(work, "invitation.revoked", row.id)
    return answer(Invitation.of(row, at=work.at))


async def _held(text: str, work: Work) -> InvitationRow:
    _require_inviter(work)
    return await queries.lock_invitation(work.session, known_invitation_id(text), account_id=work.account_id)


def _require_inviter(work: Work) -> None:
    require_role_change(work.principal, was=None, becomes=None)


def _post(request: Request) -> Post:
    state = cast("TenancyState", state_of(request))
    if state.sessions is None:
        raise Unavailable("Nobody can sign in here, so nobody could accept an invitation.")
    return Post.by(state.authenticator.pepper, state.sessions.site.url)
