"""Where Stripe tells us what happened. A message is checked, stored and acknowledged; what follows is the worker's.

The body is read raw and never parsed before its signature is known to be right: it is signed byte by byte. There is no
bearer and no limit per address: the signature says who speaks, and Stripe may share an address with anybody.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import Counter

from app.kit.errors import AppError
from app.topups.edge import stripe_of, tools_of
from app.topups.errors import CardPaymentsNotSetUp
from app.topups.events import queue as event_queue
from app.topups.events.errors import WebhookSignatureInvalid, WebhookUnreadable, WebhookWrongMode
from app.topups.gateway.account import API_VERSION
from app.topups.gateway.facts import EventFacts
from app.topups.gateway.signatures import InvalidSignature, MalformedEvent
from app.topups.tools import TopupTools
from app.web import responses_for
from app.web.errors import BodyTooLarge

log = structlog.get_logger(__name__)

BODY_BYTES_MAX: Final = 256 * 1024
"""Stripe's events are far smaller; nothing above is even hashed."""

RECEIVED = Counter("hourglass_stripe_webhooks", "Messages to Stripe's webhook by what came of them", ["outcome"])
OTHER_VERSION = Counter("hourglass_stripe_other_api_version", "Events of another version of Stripe's API than ours")

# A plain route: one that reads JSON would have parsed what it was not yet allowed to believe.
router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

_SIGNATURE_HEADER: Final = {
    "name": "Stripe-Signature",
    "in": "header",
    "required": True,
    "description": "The time and the HMAC-SHA256 of the raw body, by one of the endpoint's secrets.",
    "schema": {"type": "string", "maxLength": 4096},
}


@router.post(
    "/stripe",
    operation_id="receive_stripe_event",
    status_code=200,
    response_class=Response,
    responses=responses_for(
        WebhookSignatureInvalid, WebhookUnreadable, WebhookWrongMode, BodyTooLarge, CardPaymentsNotSetUp
    ),
    openapi_extra={"parameters": [_SIGNATURE_HEADER]},
)
async def receive(request: Request) -> Response:
    """Take an event from Stripe: stored once however often it is sent, and acknowledged when it is stored."""
    tools = tools_of(request)
    at = tools.clock.now()
    event = _verified(tools, await _raw(request), request.headers.get("stripe-signature"), at=at)
    async with tools.db.begin_unscoped() as session:
        is_new = await event_queue.store(session, event, source="webhook", at=at)
    RECEIVED.labels("stored" if is_new else "repeated").inc()
    if is_new:
        event_queue.STORED.labels("webhook").inc()
    return Response(status_code=200)


async def _raw(request: Request) -> bytes:
    """Return the body byte by byte as it came.

    Raises:
        BodyTooLarge: before more of it is read than is needed to know.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > BODY_BYTES_MAX:
        raise _refused(BodyTooLarge(headers={"Connection": "close"}))
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise _refused(BodyTooLarge(headers={"Connection": "close"}))
    return bytes(body)


def _verified(tools: TopupTools, body: bytes, signature: str | None, *, at: datetime) -> EventFacts:
    stripe = stripe_of(tools)
    try:
        event = stripe.construct_event(body, signature, at=at)
    except InvalidSignature:
        raise _refused(WebhookSignatureInvalid()) from None
    except MalformedEvent:
        raise _refused(WebhookUnreadable()) from None
    if event.livemode is not stripe.livemode:
        raise _refused(WebhookWrongMode())
    if event.api_version != API_VERSION:
        # Taken all the same: only ids are read from it, and the object itself is asked for in our own version.
        OTHER_VERSION.inc()
        log.warning("stripe.other_api_version", event_id=event.id, api_version=event.api_version, ours=API_VERSION)
    return event


def _refused(error: AppError) -> AppError:
    RECEIVED.labels(error.code).inc()
    return error
