"""Visits to Stripe's page over HTTP: paying by card and saving one."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Final

import structlog
from fastapi import Depends, Query, Request, Response

from app.kit.errors import NotFound
from app.topups.edge import stripe_of, told_over_http, tools_of
from app.topups.errors import CardPaymentsNotSetUp, StripeOutOfReach, StripeRefusal
from app.topups.gateway.errors import GatewayError
from app.topups.models import CheckoutRow
from app.topups.tools import TopupTools
from app.topups.visits.checkouts import OVER, Purpose, Wish, open_checkout
from app.topups.visits.queries import get_checkout, list_checkouts
from app.topups.visits.schemas import CheckoutCreate, CheckoutPage, CheckoutSession
from app.topups.visits.syncing import sync_checkout
from app.web import (
    ListAnswer,
    Principal,
    Work,
    answer,
    calling,
    idempotency_key,
    list_answer,
    new_router,
    responses_for,
    working,
)
from app.web.errors import IdempotencyKeyMissing, IdempotencyMismatch, InvalidCursor

log = structlog.get_logger(__name__)

router = new_router("/v1/billing", tag="billing")
Reading = Annotated[Work, Depends(working("billing:read"), scope="function")]
Reader = Annotated[Principal, Depends(calling("billing:read"))]
Writer = Annotated[Principal, Depends(calling("billing:write"))]
_ERRORS: Final = (CardPaymentsNotSetUp, StripeOutOfReach, StripeRefusal, IdempotencyKeyMissing, IdempotencyMismatch)
_SYNC_SECONDS: Final = 8.0
"""Who only wants to read does not wait longer for Stripe."""


@router.post(
    "/checkout-sessions",
    status_code=201,
    response_model=CheckoutSession,
    operation_id="create_checkout_session",
    responses=responses_for(*_ERRORS),
)
async def create(body: CheckoutCreate, caller: Writer, request: Request) -> Response:
    """Open a page where a deposit is paid by card. Nothing is credited before the card processor says that it is paid."""
    wish = Wish(
        Purpose.DEPOSIT,
        key=idempotency_key(request),
        created_by=caller.actor,
        amount=body.micros,
        save_card=body.save_card,
    )
    return await _opened(request, wish, caller)


@router.post(
    "/setup-sessions",
    status_code=201,
    response_model=CheckoutSession,
    operation_id="create_setup_session",
    responses=responses_for(*_ERRORS),
)
async def create_setup(caller: Writer, request: Request) -> Response:
    """Open a page where a card is saved without being charged."""
    wish = Wish(Purpose.SAVE_CARD, key=idempotency_key(request), created_by=caller.actor, save_card=True)
    return await _opened(request, wish, caller)


@router.get(
    "/checkout-sessions",
    response_model=ListAnswer[CheckoutSession],
    operation_id="list_checkout_sessions",
    responses=responses_for(InvalidCursor),
)
async def list_all(page: Annotated[CheckoutPage, Query()], work: Reading) -> Response:
    """Return the account's checkout sessions of either kind, newest first, as they were last seen."""
    after = work.after(page)
    rows = await list_checkouts(
        work.session, account_id=work.account_id, before=None if after is None else str(after[0]), limit=page.limit + 1
    )
    return answer(list_answer(rows, page, render=CheckoutSession.of, seal=lambda row: work.cursor((row.id,), page)))


@router.get(
    "/checkout-sessions/{checkout_id}",
    response_model=CheckoutSession,
    operation_id="get_checkout_session",
    responses=responses_for(NotFound),
)
async def get_one(checkout_id: str, caller: Reader, request: Request) -> Response:
    """Return a checkout session as it stands now: while it is open, the card processor is asked first."""
    tools = tools_of(request)
    account_id, at = caller.account_id, tools.clock.now()
    row = await tools.db.run(
        lambda session: get_checkout(session, account_id=account_id, checkout_id=checkout_id), account_id=account_id
    )
    if row.state not in OVER and tools.stripe is not None:
        row = await _looked_at(tools, row, caller, at=at)
    return answer(CheckoutSession.of(row))


async def _opened(request: Request, wish: Wish, caller: Principal) -> Response:
    tools = tools_of(request)
    stripe_of(tools)
    with told_over_http():
        opened = await open_checkout(tools, wish, account_id=caller.account_id, at=tools.clock.now())
    headers = {"Location": f"/v1/billing/checkout-sessions/{opened.row.id}"}
    if opened.replayed:
        headers["Idempotency-Replayed"] = "true"
    return answer(CheckoutSession.of(opened.row), status=201, headers=headers)


async def _looked_at(tools: TopupTools, row: CheckoutRow, caller: Principal, *, at: datetime) -> CheckoutRow:
    """Return what Stripe says now; where it says nothing in time, what is known. The sweep asks again."""
    try:
        async with asyncio.timeout(_SYNC_SECONDS):
            return await sync_checkout(tools, account_id=caller.account_id, checkout_id=row.id, at=at)
    except (GatewayError, TimeoutError) as error:
        log.warning("checkout.not_synced", checkout_id=row.id, error=type(error).__name__, told=str(error))
        return row
