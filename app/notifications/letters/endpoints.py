"""Preferences over HTTP: a person's own in the account it has chosen, and the account's for whoever has not chosen."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, tenancy
from app.kit.ids import AccountId
from app.notifications.edge import require_whole_account
from app.notifications.letters.preferences import choose, chosen_by
from app.notifications.letters.schemas import NotificationChoices, NotificationPreferences
from app.web import Visiting, Work, answer, check_match, etag, new_router, responses_for, working
from app.web.errors import EtagMismatch, Forbidden, MembershipEnded
from app.web.exchange import state_of

router = new_router("/v1", tag="notifications")
Administering = Annotated[Work, Depends(working("admin"), scope="function")]


@router.get(
    "/me/notifications",
    response_model=NotificationPreferences,
    operation_id="get_own_notifications",
    responses=responses_for(MembershipEnded),
)
async def get_own(person: Visiting, request: Request) -> Response:
    """Return which mails the person gets in the account it has chosen."""
    person.acting()
    async with state_of(request).db.begin(person.account_id) as session:
        return await _shown(session, person.account_id, holder=person.person_id)


@router.put(
    "/me/notifications",
    response_model=NotificationPreferences,
    operation_id="set_own_notifications",
    responses=responses_for(MembershipEnded, EtagMismatch),
)
async def set_own(body: NotificationChoices, person: Visiting, request: Request) -> Response:
    """Choose which mails the person gets in the account it has chosen. What is left out follows the account again."""
    person.acting()
    state = state_of(request)
    async with state.db.begin(person.account_id) as session:
        await _set(session, body, request, account_id=person.account_id, holder=person.person_id, at=state.clock.now())
        return await _shown(session, person.account_id, holder=person.person_id)


@router.get(
    "/account/notifications",
    response_model=NotificationPreferences,
    operation_id="get_account_notifications",
    responses=responses_for(Forbidden),
)
async def get_accounts(work: Administering) -> Response:
    """Return which mails everybody of the account gets who has not chosen."""
    require_whole_account(work.principal)
    return await _shown(work.session, work.account_id, holder=work.account_id)


@router.put(
    "/account/notifications",
    response_model=NotificationPreferences,
    operation_id="set_account_notifications",
    responses=responses_for(Forbidden, EtagMismatch),
)
async def set_accounts(body: NotificationChoices, work: Administering, request: Request) -> Response:
    """Choose which mails everybody of the account gets who has not chosen. What is left out comes as described."""
    require_whole_account(work.principal)
    await _set(work.session, body, request, account_id=work.account_id, holder=work.account_id, at=work.at)
    return await _shown(work.session, work.account_id, holder=work.account_id)


async def _set(
    session: AsyncSession,
    body: NotificationChoices,
    request: Request,
    *,
    account_id: AccountId,
    holder: str,
    at: datetime,
) -> None:
    await tenancy.lock_account(session, account_id=account_id)  # of two who choose at once, one sees what the other did
    before = await chosen_by(session, account_id=account_id, holder=holder)
    check_match(request, _etag(holder, before))
    await choose(session, account_id=account_id, holder=holder, choices=body.chosen)
    details = audit.changes(before, body.model_dump(exclude_none=True))
    await audit.write(session, audit.Entry(account_id, "notifications.chosen", holder, at, details=details))


async def _shown(session: AsyncSession, account_id: AccountId, *, holder: str) -> Response:
    account = await chosen_by(session, account_id=account_id, holder=account_id)
    own = account if holder == account_id else await chosen_by(session, account_id=account_id, holder=holder)
    shown = NotificationPreferences.of(account, None if holder == account_id else own)
    return answer(shown, headers={"ETag": _etag(holder, own)})


def _etag(holder: str, chosen: dict[str, bool]) -> str:
    return etag(holder, sorted(chosen.items()))
