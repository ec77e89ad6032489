"""The log of a webhook over HTTP: what was sent, what came of it, and sending it again."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Query, Request, Response

from app.kit.errors import NotFound
from app.notifications.edge import require_whole_account
from app.notifications.errors import WebhookDisabled
from app.notifications.models import EndpointRow
from app.notifications.webhooks import configuring, reviewing
from app.notifications.webhooks.queueing import redeliver
from app.notifications.webhooks.schemas import WebhookDelivery, WebhookDeliveryDetail
from app.web import (
    IDEMPOTENT,
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
from app.web.errors import Forbidden, InvalidCursor

router = new_router("/v1/webhooks/{webhook_id}/deliveries", tag="webhooks")
Working = Annotated[Work, Depends(working("admin"), scope="function")]


class DeliveryPage(Page):
    """The query of the list of deliveries."""

    state: Literal["pending", "delivered", "failed"] | None = None


@router.get(
    "",
    response_model=ListAnswer[WebhookDelivery],
    operation_id="list_webhook_deliveries",
    responses=responses_for(Forbidden, NotFound, InvalidCursor),
)
async def list_all(webhook_id: str, page: Annotated[DeliveryPage, Query()], work: Working) -> Response:
    """Return what was sent or is to be sent to a webhook, newest first; what ended is kept for 30 days."""
    endpoint = await _endpoint(webhook_id, work)
    after = work.after(page)
    rows = await reviewing.list_deliveries(
        work.session,
        account_id=work.account_id,
        endpoint_id=endpoint.id,
        state=page.state,
        before=None if after is None else str(after[0]),
        limit=page.limit + 1,
    )
    return answer(list_answer(rows, page, render=WebhookDelivery.of, seal=lambda row: work.cursor((row.id,), page)))


@router.get(
    "/{delivery_id}",
    response_model=WebhookDeliveryDetail,
    operation_id="get_webhook_delivery",
    responses=responses_for(Forbidden, NotFound),
)
async def get_one(webhook_id: str, delivery_id: str, work: Working) -> Response:
    """Return one delivery with its message and every try."""
    endpoint = await _endpoint(webhook_id, work)
    row = await reviewing.get_delivery(work.session, delivery_id, account_id=work.account_id, endpoint_id=endpoint.id)
    event = await reviewing.get_event(work.session, row)
    return answer(WebhookDeliveryDetail.with_tries(row, event, await reviewing.list_attempts(work.session, row)))


@router.post(
    "/{delivery_id}/redeliver",
    status_code=202,
    response_model=WebhookDelivery,
    operation_id="redeliver_webhook",
    responses=responses_for(Forbidden, NotFound, WebhookDisabled, *IDEMPOTENT),
)
async def send_again(webhook_id: str, delivery_id: str, work: Working, request: Request) -> Response:
    """Send a delivery again at once, whatever came of it, under the same `webhook-id`; three days of tries begin anew."""
    require_whole_account(work.principal)
    # Held, so that it is not disabled or deleted before the delivery waits for it: that would wait for ever.
    endpoint = await configuring.lock_endpoint(work.session, webhook_id, account_id=work.account_id)

    async def run() -> Answer:
        """Begin a new series of tries."""
        row = await reviewing.lock_delivery(
            work.session, delivery_id, account_id=work.account_id, endpoint_id=endpoint.id
        )
        sent = await redeliver(work.session, row, endpoint, at=work.at)
        return Answer(WebhookDelivery.of(sent), {"Location": f"/v1/webhooks/{endpoint.id}/deliveries/{row.id}"})

    return await replay_or_run(work, request, status=202, run=run)


async def _endpoint(webhook_id: str, work: Work) -> EndpointRow:
    require_whole_account(work.principal)
    return await configuring.get_endpoint(work.session, webhook_id, account_id=work.account_id)
