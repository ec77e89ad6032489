"""Payments, refunds and disputes over HTTP."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request, Response

from app.kit.errors import NotFound
from app.kit.ids import PaymentId, RefundId
from app.topups.edge import stripe_of, tools_of
from app.topups.errors import CardPaymentsNotSetUp
from app.topups.payments.errors import NotRefundable, PaymentDisputed, RefundTooLarge, RefundWindowOver
from app.topups.payments.queries import find_payment, find_refund, list_disputes, list_payments, list_refunds
from app.topups.payments.refund_asking import RefundWish, ask_refund, refundable
from app.topups.payments.schemas import (
    Dispute,
    DisputePage,
    Payment,
    PaymentPage,
    Refund,
    RefundCreate,
    RefundPage,
)
from app.wallet import WalletLocked
from app.web import (
    ListAnswer,
    Work,
    answer,
    idempotency_key,
    list_answer,
    new_router,
    responses_for,
    working,
)
from app.web.acts import changed_nothing
from app.web.errors import IdempotencyKeyMissing, IdempotencyMismatch, InvalidCursor

router = new_router("/v1/billing", tag="billing")
Reading = Annotated[Work, Depends(working("billing:read"), scope="function")]
AnId = TypeVar("AnId", PaymentId, RefundId)
Writing = Annotated[Work, Depends(working("billing:write"), scope="function")]


@router.get(
    "/payments",
    response_model=ListAnswer[Payment],
    operation_id="list_payments",
    responses=responses_for(InvalidCursor),
)
async def payments(page: Annotated[PaymentPage, Query()], work: Reading) -> Response:
    """Return what cards have paid into the wallet, newest first."""
    rows = await list_payments(
        work.session,
        account_id=work.account_id,
        status=page.status,
        before=_before(work, page),
        limit=page.limit + 1,
    )
    return answer(list_answer(rows, page, render=Payment.of, seal=lambda row: work.cursor((row.id,), page)))


@router.get(
    "/payments/{payment_id}", response_model=Payment, operation_id="get_payment", responses=responses_for(NotFound)
)
async def payment(payment_id: str, work: Reading) -> Response:
    """Return one payment, with its receipt and how much of it can be refunded now."""
    row = await find_payment(work.session, _known(PaymentId, payment_id), account_id=work.account_id)
    if row is None:
        raise NotFound
    try:
        free = await refundable(work.session, row, account_id=work.account_id, at=work.at)
    except NotRefundable:
        free = 0
    return answer(Payment.of(row, refundable=free))


@router.post(
    "/refunds",
    status_code=201,
    response_model=Refund,
    operation_id="create_refund",
    responses=responses_for(
        NotFound,
        NotRefundable,
        PaymentDisputed,
        RefundWindowOver,
        RefundTooLarge,
        WalletLocked,
        IdempotencyKeyMissing,
        IdempotencyMismatch,
        CardPaymentsNotSetUp,
    ),
)
async def create_refund(body: RefundCreate, work: Writing, request: Request) -> Response:
    """Refund what is left of a payment, or a part of it, to the card that paid, within 14 days.

    Its money is held at once and leaves within seconds; read the refund to see when it has. Asked again with the same
    key, the same refund is returned as it is then.
    """
    stripe_of(tools_of(request))
    wish = RefundWish(
        payment_id=PaymentId(body.payment_id),
        amount=body.amount,
        reason=body.reason,
        idempotency_key=idempotency_key(request),
        actor=work.principal.actor,
    )
    asked = await ask_refund(work.session, wish, account_id=work.account_id, at=work.at)
    headers = {"Location": f"/v1/billing/refunds/{asked.row.id}"}
    if asked.replayed:
        changed_nothing(work.session)
        headers["Idempotency-Replayed"] = "true"
    return answer(Refund.of(asked.row), status=201, headers=headers)


@router.get(
    "/refunds",
    response_model=ListAnswer[Refund],
    operation_id="list_refunds",
    responses=responses_for(InvalidCursor),
)
async def refunds(page: Annotated[RefundPage, Query()], work: Reading) -> Response:
    """Return refunds, newest first; those too that were made at the card processor."""
    rows = await list_refunds(
        work.session,
        account_id=work.account_id,
        payment_id=page.payment_id,
        before=_before(work, page),
        limit=page.limit + 1,
    )
    return answer(list_answer(rows, page, render=Refund.of, seal=lambda row: work.cursor((row.id,), page)))


@router.get("/refunds/{refund_id}", response_model=Refund, operation_id="get_refund", responses=responses_for(NotFound))
async def refund(refund_id: str, work: Reading) -> Response:
    """Return one refund."""
    row = await find_refund(work.session, _known(RefundId, refund_id), account_id=work.account_id)
    if row is None:
        raise NotFound
    return answer(Refund.of(row))


@router.get(
    "/disputes",
    response_model=ListAnswer[Dispute],
    operation_id="list_disputes",
    responses=responses_for(InvalidCursor),
)
async def disputes(page: Annotated[DisputePage, Query()], work: Reading) -> Response:
    """Return the payments that their cards' owners contest, newest first, and what came of it."""
    rows = await list_disputes(
        work.session,
        account_id=work.account_id,
        payment_id=page.payment_id,
        before=_before(work, page),
        limit=page.limit + 1,
    )
    return answer(list_answer(rows, page, render=Dispute.of, seal=lambda row: work.cursor((row.id,), page)))


def _before(work: Work, page: PaymentPage | RefundPage | DisputePage) -> str | None:
    position = work.after(page)
    return str(position[0]) if position else None


def _known(kind: type[AnId], text: str) -> AnId:
    try:
        return kind.parse(text)
    except ValueError:
        raise NotFound from None
