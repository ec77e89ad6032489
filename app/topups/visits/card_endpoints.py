"""Saved cards over HTTP, the portal's door, and the page that customers come back to."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from app import audit
from app.kit.errors import NotFound
from app.topups.customers import ensure_customer
from app.topups.edge import stripe_of, told_over_http, tools_of
from app.topups.errors import CardPaymentsNotSetUp, StripeOutOfReach, StripeRefusal
from app.topups.tools import TopupTools
from app.topups.visits import cards
from app.topups.visits.schemas import PaymentMethod, PaymentMethodPage, PortalSession
from app.web import ListAnswer, Principal, Work, answer, calling, list_answer, new_router, responses_for, working
from app.web.errors import InvalidCursor

router = new_router("/v1/billing", tag="billing")
public_router = APIRouter(prefix="/v1/billing", tags=["billing"])
Reading = Annotated[Work, Depends(working("billing:read"), scope="function")]
Writer = Annotated[Principal, Depends(calling("billing:write"))]
_ERRORS: Final = (CardPaymentsNotSetUp, StripeOutOfReach, StripeRefusal)

_RETURN_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Hourglass</title></head>
<body><h1>Thank you</h1><p>You can close this page. Your balance shows a payment as soon as it has arrived.</p></body>
</html>
"""


@router.get(
    "/payment-methods",
    response_model=ListAnswer[PaymentMethod],
    operation_id="list_payment_methods",
    responses=responses_for(InvalidCursor),
)
async def list_all(page: Annotated[PaymentMethodPage, Query()], work: Reading) -> Response:
    """Return the account's saved cards, newest first."""
    after = work.after(page)
    rows = await cards.list_cards(
        work.session,
        account_id=work.account_id,
        before=None if after is None else (datetime.fromisoformat(str(after[0])), str(after[1])),
        limit=page.limit + 1,
    )
    return answer(
        list_answer(
            rows,
            page,
            render=PaymentMethod.of,
            seal=lambda row: work.cursor((row.created_at.isoformat(), row.id), page),
        )
    )


@router.get(
    "/payment-methods/{payment_method_id}",
    response_model=PaymentMethod,
    operation_id="get_payment_method",
    responses=responses_for(NotFound),
)
async def get_one(payment_method_id: str, work: Reading) -> Response:
    """Return one saved card."""
    return answer(PaymentMethod.of(await cards.get_card(work.session, payment_method_id, account_id=work.account_id)))


@router.delete(
    "/payment-methods/{payment_method_id}",
    status_code=204,
    operation_id="delete_payment_method",
    responses=responses_for(NotFound, *_ERRORS),
)
async def delete(payment_method_id: str, caller: Writer, request: Request) -> Response:
    """Take a card off the account for good. Automatic top-ups that charge it are suspended."""
    tools = tools_of(request)
    with told_over_http():
        await cards.remove_card(tools, payment_method_id, account_id=caller.account_id, at=tools.clock.now())
    return Response(status_code=204)


@router.post(
    "/portal-sessions",
    status_code=200,
    response_model=PortalSession,
    operation_id="create_portal_session",
    responses=responses_for(*_ERRORS),
)
async def create_portal_session(caller: Writer, request: Request) -> Response:
    """Return a short-lived address of the page where the customer manages cards and receipts. It is never kept here."""
    tools = tools_of(request)
    stripe = stripe_of(tools)
    with told_over_http():
        customer_id = await ensure_customer(tools, account_id=caller.account_id, at=tools.clock.now())
        url = await stripe.create_portal_session(
            customer_id=customer_id, return_url=f"{tools.public_url}/v1/billing/return"
        )
    await _tell_opened(tools, caller)
    return answer(PortalSession(url=url))


async def _tell_opened(tools: TopupTools, caller: Principal) -> None:
    entry = audit.Entry(caller.account_id, "portal_session.created", caller.account_id, tools.clock.now())
    async with tools.db.begin(caller.account_id) as session:
        await audit.write(session, entry)


@public_router.get("/return", response_class=HTMLResponse, include_in_schema=False)
async def come_back() -> HTMLResponse:
    """Show where a customer's browser ends up. It tells and does nothing: whoever comes here may be anybody."""
    return HTMLResponse(_RETURN_PAGE, headers={"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"})
