"""Statements over HTTP: the months there are, and one of them as JSON, CSV or PDF."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from app import tenancy
from app.kit.db import Database
from app.kit.errors import NotFound
from app.statements.contents import PAYMENTS_MAX, RENTALS_MAX, Contents
from app.statements.months import Month
from app.statements.paying import every_payment, list_paid
from app.statements.rendering import (
    JSON_BETWEEN,
    JSON_END,
    csv_head,
    csv_of_payments,
    csv_of_rentals,
    json_head,
    json_of_payment,
    json_of_rental,
)
from app.statements.schemas import Format, MonthOut, MonthPage, StatementOut, StatementQuery
from app.statements.summing import Statement, every_rental, get_statement, list_dearest, list_months
from app.web import ListAnswer, Work, answer, list_answer, new_router, preferred, responses_for, working
from app.web.errors import InvalidCursor
from app.web.exchange import state_of

Item = TypeVar("Item")

router = new_router("/v1/billing/statements", tag="billing")
Reading = Annotated[Work, Depends(working("billing:read"), scope="function")]

_MEDIA_TYPES = {Format.JSON: "application/json", Format.CSV: "text/csv", Format.PDF: "application/pdf"}
_FORMATS = {media_type: form for form, media_type in _MEDIA_TYPES.items()} | {
    "*/*": Format.JSON,
    "application/*": Format.JSON,
    "text/*": Format.CSV,
}
_OTHERS = {
    _MEDIA_TYPES[Format.CSV]: {"schema": {"type": "string"}},
    _MEDIA_TYPES[Format.PDF]: {"schema": {"type": "string", "format": "binary"}},
}


@router.get(
    "",
    response_model=ListAnswer[MonthOut],
    operation_id="list_statements",
    responses=responses_for(InvalidCursor),
)
async def list_statements(page: Annotated[MonthPage, Query()], work: Reading) -> Response:
    """Return every month since the first movement of money, newest first."""
    position = work.after(page)
    months = await list_months(work.session, account_id=work.account_id, at=work.at)
    if position is not None:
        before = Month.parse(str(position[0]))
        months = [summed for summed in months if summed.month < before]
    return answer(
        list_answer(
            months[: page.limit + 1],
            page,
            render=MonthOut.of,
            seal=lambda summed: work.cursor((str(summed.month),), page),
        )
    )


@router.get(
    "/{month}",
    response_model=StatementOut,
    operation_id="get_statement",
    responses={200: {"content": _OTHERS}, **responses_for(NotFound)},
)
async def get_one(month: str, query: Annotated[StatementQuery, Query()], work: Reading, request: Request) -> Response:
    """Return an account's month: what it began with, what moved, what it ended with, its payments and rentals.

    As JSON, or by `Accept` or `format` as `text/csv`, or as `application/pdf` to file.
    """
    try:
        wanted = Month.parse(month)
    except ValueError:
        raise NotFound from None
    statement = await get_statement(work.session, wanted, account_id=work.account_id, at=work.at)
    form = query.format or preferred(request, _FORMATS, otherwise=Format.JSON)
    if form is Format.PDF:
        body = await asyncio.to_thread(_printed, await _contents(work, statement))
        return Response(body, media_type=_MEDIA_TYPES[form], headers=_headers(statement, form))
    db = state_of(request).db
    if form is Format.CSV:
        parts = _csv_parts(db, statement)
    else:
        account = await tenancy.get_account(work.session, account_id=work.account_id)
        parts = _json_parts(db, statement, account_name=account.name)
    return StreamingResponse(parts, media_type=_MEDIA_TYPES[form], headers=_headers(statement, form))


def _headers(statement: Statement, form: Format) -> dict[str, str]:
    if form is Format.JSON:
        return {"Vary": "Accept"}
    name = f"hourglass-{statement.span.month}.{form}"
    return {"Vary": "Accept", "Content-Disposition": f'attachment; filename="{name}"'}


async def _contents(work: Work, statement: Statement) -> Contents:
    account = await tenancy.get_account(work.session, account_id=work.account_id)
    return Contents(
        statement,
        account_name=account.name,
        addresses=await tenancy.billing_addresses(work.session, account_id=work.account_id),
        payments=await list_paid(work.session, statement.span, limit=PAYMENTS_MAX + 1),
        rentals=await list_dearest(work.session, statement.span, limit=RENTALS_MAX),
    )


def _printed(contents: Contents) -> bytes:
    from app.statements.paper import printed  # noqa: PLC0415 - a start need not wait for what draws

    return printed(contents)


async def _csv_parts(db: Database, statement: Statement) -> AsyncIterator[str]:
    yield csv_head(statement)
    async for payments in every_payment(db, statement.span):
        yield csv_of_payments(payments)
    async for rentals in every_rental(db, statement.span):
        yield csv_of_rentals(rentals)


async def _json_parts(db: Database, statement: Statement, *, account_name: str) -> AsyncIterator[str]:
    yield json_head(statement, account_name=account_name)
    async for part in _joined(every_payment(db, statement.span), json_of_payment):
        yield part
    yield JSON_BETWEEN
    async for part in _joined(every_rental(db, statement.span), json_of_rental):
        yield part
    yield JSON_END


async def _joined(groups: AsyncIterator[Sequence[Item]], render: Callable[[Item], str]) -> AsyncIterator[str]:
    comma = ""
    async for group in groups:
        yield comma + ",".join(map(render, group))
        comma = ","
