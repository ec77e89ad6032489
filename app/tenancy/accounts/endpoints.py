"""The caller's account over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response

from app import audit
from app.tenancy import queries
from app.tenancy.accounts.schemas import AccountOut, AccountUpdate, account_etag
from app.tenancy.models import AccountRow
from app.tenancy.roles import administers
from app.web import Work, answer, check_match, new_router, responses_for, working
from app.web.errors import EtagMismatch, Forbidden

router = new_router("/v1/account", tag="account")
AnyWork = Annotated[Work, Depends(working(None), scope="function")]
AdminWork = Annotated[Work, Depends(working("admin"), scope="function")]


@router.get("", response_model=AccountOut, operation_id="get_account", responses=responses_for())
async def get_account(work: AnyWork) -> Response:
    """Return the caller's account, and the key or the person that asks."""
    return _shown(await queries.get_account(work.session, account_id=work.account_id), work)


@router.patch(
    "",
    response_model=AccountOut,
    operation_id="update_account",
    responses=responses_for(Forbidden, EtagMismatch),
)
async def update(body: AccountUpdate, work: AdminWork, request: Request) -> Response:
    """Give the account another name."""
    if not administers(work.principal):
        raise Forbidden("Only an administrator of the whole account can rename it.")
    row = await queries.lock_account(work.session, account_id=work.account_id)
    check_match(request, account_etag(row))
    changed = audit.changes({"name": row.name}, {"name": body.name})
    row.name = body.name
    await work.session.flush()
    await audit.note(work, "account.updated", work.account_id, details=changed)
    return _shown(row, work)


def _shown(row: AccountRow, work: Work) -> Response:
    return answer(AccountOut.of(row, work.principal), headers={"ETag": account_etag(row)})
