"""Account and API keys over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Query, Request, Response

from app.kit.errors import InvalidState, NotFound
from app.kit.ids import ApiKeyId
from app.tenancy import queries
from app.tenancy.authenticating import TenancyState
from app.tenancy.keys import KeyTerms, NewKey, create_key, require_grantable, revoke_key, rotate_key
from app.tenancy.schemas import AccountOut, ApiKey, ApiKeyCreate, ApiKeyRotate
from app.web import (
    Answer,
    ListAnswer,
    Page,
    Work,
    answer,
    list_answer,
    new_router,
    replay_or_run,
    responses_for,
    working,
)
from app.web.errors import (
    Forbidden,
    IdempotencyInProgress,
    IdempotencyKeyMissing,
    IdempotencyMismatch,
    InvalidCursor,
    ValidationFailed,
)
from app.web.exchange import state_of

router = new_router("/v1", tag="keys")
KeysWork = Annotated[Work, Depends(working("keys:write"), scope="function")]
AnyWork = Annotated[Work, Depends(working(None), scope="function")]
_IDEMPOTENT = (IdempotencyKeyMissing, IdempotencyInProgress, IdempotencyMismatch)


class KeyPage(Page):
    """The query of the list of keys."""


@router.get("/account", response_model=AccountOut, operation_id="get_account", responses=responses_for())
async def get_account(work: AnyWork) -> Response:
    """Return the caller's account and the key that asks."""
    row = await queries.get_account(work.session, account_id=work.account_id)
    return answer(AccountOut.of(row, work.principal))


@router.post(
    "/api-keys",
    status_code=201,
    response_model=ApiKey,
    operation_id="create_api_key",
    responses=responses_for(Forbidden, *_IDEMPOTENT),
)
async def create(body: ApiKeyCreate, work: KeysWork, request: Request) -> Response:
    """Make an API key. Its secret is shown once: a repeated request answers the same key with `secret: null`."""

    async def run() -> Answer:
        require_grantable(work.principal, scopes=body.scopes, mode=body.mode)
        if body.expires_at is not None and body.expires_at <= work.at:
            raise ValidationFailed(errors=[{"pointer": "/expires_at", "code": "past", "message": "must lie ahead"}])
        terms = KeyTerms(
            name=body.name,
            scopes=frozenset(body.scopes),
            mode=body.mode,
            allowed_ips=tuple(body.allowed_ips),
            expires_at=body.expires_at,
            created_by=work.principal.user_id,
        )
        pepper = _state(request).authenticator.pepper
        return _made(await create_key(work.session, terms, account_id=work.account_id, pepper=pepper, at=work.at))

    return await replay_or_run(work, request, status=201, run=run)


@router.get(
    "/api-keys",
    response_model=ListAnswer[ApiKey],
    operation_id="list_api_keys",
    responses=responses_for(InvalidCursor),
)
async def list_all(page: Annotated[KeyPage, Query()], work: KeysWork) -> Response:
    """Return the account's keys, newest first, those out of force included."""
    after = work.after(page)
    before = None if after is None else (datetime.fromisoformat(str(after[0])), str(after[1]))
    rows = await queries.list_keys(work.session, account_id=work.account_id, before=before, limit=page.limit + 1)
    return answer(
        list_answer(
            rows, page, render=ApiKey.of, seal=lambda row: work.cursor((row.created_at.isoformat(), row.id), page)
        )
    )


@router.get("/api-keys/{key_id}", response_model=ApiKey, operation_id="get_api_key", responses=responses_for(NotFound))
async def get_one(key_id: str, work: KeysWork) -> Response:
    """Return one key."""
    return answer(ApiKey.of(await queries.get_key(work.session, _key_id(key_id), account_id=work.account_id)))


@router.delete(
    "/api-keys/{key_id}", response_model=ApiKey, operation_id="revoke_api_key", responses=responses_for(NotFound)
)
async def revoke(key_id: str, work: KeysWork, request: Request) -> Response:
    """Revoke a key, at once and for good. Revoking it again changes nothing."""
    row = await revoke_key(work.session, _key_id(key_id), account_id=work.account_id, at=work.at)
    work.after_commit.append(lambda: _state(request).authenticator.forget(row.id))
    return answer(ApiKey.of(row))


@router.post(
    "/api-keys/{key_id}/rotate",
    status_code=201,
    response_model=ApiKey,
    operation_id="rotate_api_key",
    responses=responses_for(NotFound, InvalidState, Forbidden, *_IDEMPOTENT),
)
async def rotate(key_id: str, body: ApiKeyRotate, work: KeysWork, request: Request) -> Response:
    """Make a successor with the same terms; the old key stays in force for the overlap."""
    authenticator = _state(request).authenticator
    old_id = _key_id(key_id)

    async def run() -> Answer:
        made = await rotate_key(
            work.session,
            old_id,
            caller=work.principal,
            overlap_seconds=body.overlap_seconds,
            pepper=authenticator.pepper,
            at=work.at,
        )
        work.after_commit.append(lambda: authenticator.forget(old_id))
        return _made(made)

    return await replay_or_run(work, request, status=201, run=run)


def _made(new: NewKey) -> Answer:
    return Answer(
        ApiKey.of(new.row, secret=new.secret),
        headers={"Location": f"/v1/api-keys/{new.row.id}"},
        replayed=ApiKey.of(new.row),
    )


def _key_id(text: str) -> ApiKeyId:
    try:
        return ApiKeyId.parse(text)
    except ValueError:
        raise NotFound("There is no such API key.") from None


def _state(request: Request) -> TenancyState:
    return cast("TenancyState", state_of(request))
