"""API keys over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Depends, Query, Request, Response
from pydantic import Field

from app import audit
from app.kit.errors import InvalidState, NotFound
from app.kit.ids import ApiKeyId
from app.tenancy.authenticating import Authenticator, TenancyState
from app.tenancy.errors import TeamArchived, TooMany, UnknownReference
from app.tenancy.keys import granting, queries
from app.tenancy.keys.making import KeyTerms, NewKey, change_key, create_key, revoke_key, rotate_key
from app.tenancy.keys.schemas import ApiKey, ApiKeyCreate, ApiKeyRotate, ApiKeyUpdate, key_etag
from app.tenancy.models import ApiKeyRow
from app.tenancy.teams import known_team_id
from app.web import (
    IDEMPOTENT,
    Answer,
    ListAnswer,
    Page,
    Work,
    answer,
    check_match,
    list_answer,
    moment_in,
    new_router,
    replay_or_run,
    responses_for,
    working,
)
from app.web.acts import changed_nothing
from app.web.errors import EtagMismatch, Forbidden, InvalidCursor, ValidationFailed
from app.web.exchange import state_of

router = new_router("/v1/api-keys", tag="keys")
KeysWork = Annotated[Work, Depends(working("keys:write"), scope="function")]


class KeyPage(Page):
    """The query of the list of keys."""

    team_id: Annotated[str | None, Field(max_length=64, description="Only the keys of this team.")] = None


@router.post(
    "",
    status_code=201,
    response_model=ApiKey,
    operation_id="create_api_key",
    responses=responses_for(Forbidden, TeamArchived, TooMany, UnknownReference, *IDEMPOTENT),
)
async def create(body: ApiKeyCreate, work: KeysWork, request: Request) -> Response:
    """Make an API key. Its secret is shown once: a repeated request answers the same key with `secret: null`."""

    async def run() -> Answer:
        """Make the key, as far as the caller may give its terms away."""
        await granting.hold_maker(work.session, work.principal)
        terms = await _granted(body, work)
        await granting.require_room(work.session, account_id=work.account_id, at=work.at)
        pepper = _authenticator(request).pepper
        made = await create_key(work.session, terms, account_id=work.account_id, pepper=pepper, at=work.at)
        await audit.note(
            work, "api_key.created", made.row.id, team_id=made.row.team_id, details={"after": _told(made.row)}
        )
        return _made(made)

    return await replay_or_run(work, request, status=201, run=run)


@router.get(
    "",
    response_model=ListAnswer[ApiKey],
    operation_id="list_api_keys",
    responses=responses_for(InvalidCursor, NotFound),
)
async def list_all(page: Annotated[KeyPage, Query()], work: KeysWork) -> Response:
    """Return the keys that the caller sees, newest first, those out of force included."""
    rows = await queries.list_keys(
        work.session,
        work.principal,
        before=moment_in(work.after(page)),
        limit=page.limit + 1,
        team_id=None if page.team_id is None else known_team_id(page.team_id),
    )
    return answer(
        list_answer(
            rows, page, render=ApiKey.of, seal=lambda row: work.cursor((row.created_at.isoformat(), row.id), page)
        )
    )


@router.get("/{key_id}", response_model=ApiKey, operation_id="get_api_key", responses=responses_for(NotFound))
async def get_one(key_id: str, work: KeysWork) -> Response:
    """Return one key."""
    row = await queries.get_key(work.session, queries.known_key_id(key_id), account_id=work.account_id)
    granting.require_seen(work.principal, row)
    return _shown(row)


@router.patch(
    "/{key_id}",
    response_model=ApiKey,
    operation_id="update_api_key",
    responses=responses_for(NotFound, Forbidden, InvalidState, TeamArchived, UnknownReference, EtagMismatch),
)
async def update(key_id: str, body: ApiKeyUpdate, work: KeysWork, request: Request) -> Response:
    """Change a key's name, addresses, team or limit; what is not named stays."""
    granting.require_unlimited(work.principal)
    await _changeable(key_id, work)
    changes = await _changes(body, work)
    row = await _held(key_id, work)
    check_match(request, key_etag(row))
    before = _told(row)
    await change_key(work.session, row, changes)
    details = audit.changes(before, _told(row))
    await audit.note(work, "api_key.updated", row.id, team_id=row.team_id, details=details)
    _forget(work, request, row.id)
    return _shown(row)


@router.delete(
    "/{key_id}", response_model=ApiKey, operation_id="revoke_api_key", responses=responses_for(NotFound, Forbidden)
)
async def revoke(key_id: str, work: KeysWork, request: Request) -> Response:
    """Revoke a key, at once and for good. Revoking it again changes nothing."""
    row = await _held(key_id, work)
    if row.revoked_at is not None:
        changed_nothing(work.session)
    else:
        await revoke_key(work.session, ApiKeyId(row.id), account_id=work.account_id, at=work.at)
        await audit.note(work, "api_key.revoked", row.id, team_id=row.team_id)
    _forget(work, request, row.id)
    return answer(ApiKey.of(row))


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    response_model=ApiKey,
    operation_id="rotate_api_key",
    responses=responses_for(NotFound, InvalidState, Forbidden, *IDEMPOTENT),
)
async def rotate(key_id: str, body: ApiKeyRotate, work: KeysWork, request: Request) -> Response:
    """Make a successor with the same terms, which is the caller's; the old key stays in force for the overlap."""

    async def run() -> Answer:
        """Make the successor, and let the old key end."""
        await granting.hold_maker(work.session, work.principal)
        await granting.hold_team_of(work.session, await _changeable(key_id, work))
        old = await _held(key_id, work)
        granting.require_grantable(work.principal, scopes=old.scopes, mode=old.mode)
        made = await rotate_key(
            work.session,
            old,
            caller=work.principal,
            overlap_seconds=body.overlap_seconds,
            pepper=_authenticator(request).pepper,
            at=work.at,
        )
        details = {"successor": made.row.id, "overlap_seconds": body.overlap_seconds}
        await audit.note(work, "api_key.rotated", old.id, team_id=old.team_id, details=details)
        _forget(work, request, old.id)
        return _made(made)

    return await replay_or_run(work, request, status=201, run=run)


async def _granted(body: ApiKeyCreate, work: Work) -> KeyTerms:
    granting.require_grantable(work.principal, scopes=body.scopes, mode=body.mode)
    if body.expires_at is not None and body.expires_at <= work.at:
        raise ValidationFailed(errors=[{"pointer": "/expires_at", "code": "past", "message": "must lie ahead"}])
    return KeyTerms(
        name=body.name,
        scopes=frozenset(body.scopes),
        mode=body.mode,
        allowed_ips=tuple(body.allowed_ips),
        expires_at=body.expires_at,
        created_by=work.principal.user_id,
        team_id=await granting.team_for(work.session, work.principal, body.team_id),
        limit=body.limit.spend_limit() if body.limit else None,
    )


async def _changes(body: ApiKeyUpdate, work: Work) -> dict[str, Any]:
    changes: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set - {"team_id", "limit"}}
    if "team_id" in body.model_fields_set:
        changes["team_id"] = await granting.team_for(work.session, work.principal, body.team_id)
    if "limit" in body.model_fields_set:
        changes["spend_limit"] = body.limit.amount if body.limit else None
        changes["limit_reset"] = body.limit.reset if body.limit else None
    return changes


async def _changeable(key_id: str, work: Work) -> ApiKeyRow:
    """Return a key that the caller may change, not held yet: whoever archives its team holds that first."""
    row = await queries.get_key(work.session, queries.known_key_id(key_id), account_id=work.account_id)
    granting.require_changeable(work.principal, row)
    return row


async def _held(key_id: str, work: Work) -> ApiKeyRow:
    row = await queries.lock_key(work.session, queries.known_key_id(key_id), account_id=work.account_id)
    granting.require_changeable(work.principal, row)
    return row


def _made(new: NewKey) -> Answer:
    return Answer(
        ApiKey.of(new.row, secret=new.secret),
        headers={"Location": f"/v1/api-keys/{new.row.id}", "ETag": key_etag(new.row)},
        replayed=ApiKey.of(new.row),
    )


def _shown(row: ApiKeyRow) -> Response:
    return answer(ApiKey.of(row), headers={"ETag": key_etag(row)})


def _told(row: ApiKeyRow) -> dict[str, Any]:
    """Return a key's terms as the audit tells them."""
    names = ("name", "scopes", "mode", "allowed_ips", "expires_at", "team_id", "spend_limit", "limit_reset")
    return {name: getattr(row, name) for name in names}


def _forget(work: Work, request: Request, key_id: str) -> None:
    work.after_commit.append(lambda: _authenticator(request).forget(key_id))


def _authenticator(request: Request) -> Authenticator:
    return cast("TenancyState", state_of(request)).authenticator
