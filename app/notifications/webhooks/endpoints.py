"""Webhooks over HTTP: made, read, changed, given another secret, tried."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from app import audit
from app.kit.destinations import without_path
from app.kit.errors import NotFound
from app.notifications.edge import check_url, notification_state, require_whole_account
from app.notifications.errors import TooManyWebhooks
from app.notifications.models import EndpointRow
from app.notifications.webhooks import configuring
from app.notifications.webhooks.queueing import ping
from app.notifications.webhooks.schemas import SecretRotation, Webhook, WebhookCreate, WebhookDelivery, WebhookUpdate
from app.web import (
    IDEMPOTENT,
    Answer,
    ListAnswer,
    Page,
    Work,
    answer,
    check_match,
    etag,
    list_answer,
    new_router,
    replay_or_run,
    responses_for,
    working,
)
from app.web.errors import EtagMismatch, Forbidden, InvalidCursor

router = new_router("/v1/webhooks", tag="webhooks")
Working = Annotated[Work, Depends(working("admin"), scope="function")]


class WebhookPage(Page):
    """The query of the list of webhooks."""


@router.post(
    "",
    status_code=201,
    response_model=Webhook,
    operation_id="create_webhook",
    responses=responses_for(Forbidden, TooManyWebhooks, *IDEMPOTENT),
)
async def create(body: WebhookCreate, work: Working, request: Request) -> Response:
    """Have events sent to a URL from now on. The secret is shown once; a repeated request answers `secret: null`.

    Messages are signed by [Standard Webhooks](https://www.standardwebhooks.com): `webhook-id` is the event's id and
    stays the same however often it is sent; answer with 2xx within 10 seconds. What is not taken is sent again, at first
    after 5 seconds and then ever more rarely, for three days; redirects are not followed.
    """
    require_whole_account(work.principal)
    check_url(request, body.url)

    async def run() -> Answer:
        """Write the webhook, and tell of it."""
        terms = configuring.Terms(body.url, body.description, body.types, work.principal.actor)
        vault = notification_state(request).vault
        made = await configuring.create(work.session, terms, account_id=work.account_id, vault=vault, at=work.at)
        details = audit.changes({}, _audited(made.row))
        await audit.note(work, "webhook.created", made.row.id, details=details)
        return _made(made, {"Location": f"/v1/webhooks/{made.row.id}"})

    return await replay_or_run(work, request, status=201, run=run)


@router.get(
    "",
    response_model=ListAnswer[Webhook],
    operation_id="list_webhooks",
    responses=responses_for(Forbidden, InvalidCursor),
)
async def list_all(page: Annotated[WebhookPage, Query()], work: Working) -> Response:
    """Return the account's webhooks, newest first."""
    require_whole_account(work.principal)
    after = work.after(page)
    before = None if after is None else str(after[0])
    rows = await configuring.list_endpoints(
        work.session, account_id=work.account_id, before=before, limit=page.limit + 1
    )
    return answer(list_answer(rows, page, render=Webhook.of, seal=lambda row: work.cursor((row.id,), page)))


@router.get(
    "/{webhook_id}", response_model=Webhook, operation_id="get_webhook", responses=responses_for(Forbidden, NotFound)
)
async def get_one(webhook_id: str, work: Working) -> Response:
    """Return one webhook."""
    require_whole_account(work.principal)
    return _shown(await configuring.get_endpoint(work.session, webhook_id, account_id=work.account_id))


@router.patch(
    "/{webhook_id}",
    response_model=Webhook,
    operation_id="update_webhook",
    responses=responses_for(Forbidden, NotFound, EtagMismatch),
)
async def update(webhook_id: str, body: WebhookUpdate, work: Working, request: Request) -> Response:
    """Change a webhook.

    One that is disabled is sent nothing, and what waited for it is given up; enabled again it is sent what happens from
    then on, and nothing is held against it.
    """
    row = await _locked(webhook_id, work)
    check_match(request, _etag(row))
    before = _audited(row)
    if body.url is not None:
        check_url(request, body.url)
    values: dict[str, Any] = body.model_dump(include={"url", "description", "types"}, exclude_none=True)
    if values:
        row = await configuring.change(work.session, row, values=values, at=work.at)
    if body.enabled is not None:
        turn = configuring.enable if body.enabled else configuring.disable
        row = await turn(work.session, row, at=work.at)
    details = audit.changes(before, _audited(row))
    await audit.note(work, "webhook.updated", row.id, details=details)
    return _shown(row)


@router.delete(
    "/{webhook_id}", status_code=204, operation_id="delete_webhook", responses=responses_for(Forbidden, NotFound)
)
async def delete(webhook_id: str, work: Working) -> Response:
    """Delete a webhook: nothing more is sent there, also what waited."""
    await configuring.delete(work.session, await _locked(webhook_id, work), at=work.at)
    return Response(status_code=204)


@router.post(
    "/{webhook_id}/rotate-secret",
    status_code=201,
    response_model=Webhook,
    operation_id="rotate_webhook_secret",
    responses=responses_for(Forbidden, NotFound, *IDEMPOTENT),
)
async def rotate_secret(webhook_id: str, body: SecretRotation, work: Working, request: Request) -> Response:
    """Give a webhook another secret, shown once. Until the overlap ends each message has a signature by both."""
    row = await _locked(webhook_id, work)

    async def run() -> Answer:
        """Write another secret."""
        overlap, vault = timedelta(seconds=body.overlap_seconds), notification_state(request).vault
        return _made(await configuring.rotate(work.session, row, overlap=overlap, vault=vault, at=work.at), {})

    return await replay_or_run(work, request, status=201, run=run)


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    response_model=WebhookDelivery,
    operation_id="test_webhook",
    responses=responses_for(Forbidden, NotFound, *IDEMPOTENT),
)
async def test(webhook_id: str, work: Working, request: Request) -> Response:
    """Send a `webhook.test` there once, also to a webhook that is disabled; follow `Location` for what came of it."""
    row = await _locked(webhook_id, work)

    async def run() -> Answer:
        """Write the test and its delivery."""
        sent = await ping(work.session, row, actor=work.principal.actor, at=work.at)
        return Answer(WebhookDelivery.of(sent), {"Location": f"/v1/webhooks/{row.id}/deliveries/{sent.id}"})

    return await replay_or_run(work, request, status=202, run=run)


async def _locked(webhook_id: str, work: Work) -> EndpointRow:
    require_whole_account(work.principal)
    return await configuring.lock_endpoint(work.session, webhook_id, account_id=work.account_id)


def _made(made: configuring.Made, headers: dict[str, str]) -> Answer:
    shown = Webhook.of(made.row, secret=made.secret)
    return Answer(shown, headers | {"ETag": _etag(made.row)}, replayed=Webhook.of(made.row))


def _shown(row: EndpointRow) -> Response:
    return answer(Webhook.of(row), headers={"ETag": _etag(row)})


def _audited(row: EndpointRow) -> dict[str, Any]:
    return {"url": without_path(row.url), "description": row.description, "types": list(row.types), "state": row.state}


def _etag(row: EndpointRow) -> str:
    return etag(row.id, row.version)
