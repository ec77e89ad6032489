"""Reports over HTTP."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import Depends, Query, Request, Response

from app import tenancy
from app.kit.errors import NotFound
from app.rentals import IDLE_PERCENT
from app.reports.asking import ChargebackQuery, Format, IdleQuery, SpendQuery
from app.reports.charging_back import Chargeback, charge_back
from app.reports.forecasting import forecast
from app.reports.idling import sum_idleness
from app.reports.naming import names_in, team_names
from app.reports.outlook_schemas import ForecastOut, IdleReport
from app.reports.rendering import chargeback_csv, explained, spend_csv, spend_text
from app.reports.schemas import ChargebackOut, SpendReport
from app.reports.spending import Sight, sum_spending
from app.statements import Month
from app.web import Work, answer, new_router, preferred, responses_for, working

router = new_router("/v1/reports", tag="reports")
Seeing = Annotated[Work, Depends(working("teams:read"), scope="function")]
Billing = Annotated[Work, Depends(working("billing:read"), scope="function")]

_VARY: Final = {"Vary": "Accept"}
_MEDIA_TYPES: Final = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv",
    Format.TEXT: "text/plain",
    Format.PDF: "application/pdf",
}
_ANY: Final = {"application/*": Format.JSON, "*/*": Format.JSON}
_SPEND_FORMS: Final = {_MEDIA_TYPES[form]: form for form in (Format.JSON, Format.CSV, Format.TEXT)} | _ANY
_CHARGEBACK_FORMS: Final = {_MEDIA_TYPES[form]: form for form in (Format.JSON, Format.CSV, Format.PDF)} | _ANY


def _contents(*forms: Format) -> dict[int | str, dict[str, object]]:
    text: dict[str, object] = {"type": "string"}
    kinds = {form: text | {"format": "binary"} if form is Format.PDF else text for form in forms}
    return {200: {"content": {_MEDIA_TYPES[form]: {"schema": schema} for form, schema in kinds.items()}}}


@router.get(
    "/spend",
    response_model=SpendReport,
    operation_id="report_spend",
    responses=_contents(Format.CSV, Format.TEXT),
)
async def report_spend(query: Annotated[SpendQuery, Query()], work: Seeing, request: Request) -> Response:
    """Return what was spent, by team, person, key, tag, family, provider or day of UTC.

    Every charge and refund of the ledger is in it once, on the day on which it took effect; the total equals the ledger
    to the micro-dollar. As JSON, or by `Accept` or `format` as `text/csv`, or as `text/plain` for people.
    """
    by, tag = query.grouping
    sight, days = Sight.of(work.principal), query.days(work.at)
    spending = await sum_spending(work.session, sight, days, by=by, tag=tag, limit=query.limit)
    names = await names_in(work.session, spending, by=by, account_id=work.account_id)
    form = Format(query.format) if query.format else preferred(request, _SPEND_FORMS, otherwise=Format.JSON)
    if form is Format.TEXT:
        return Response(spend_text(spending, names, by=by, tag=tag), media_type=_MEDIA_TYPES[form], headers=_VARY)
    if form is Format.CSV:
        return _file(spend_csv(spending, names), form, f"spend-{days.since}-{days.until}")
    return answer(SpendReport.of(spending, query, names, is_whole=sight.is_whole, at=work.at), headers=_VARY)


@router.get("/forecast", response_model=ForecastOut, operation_id="report_forecast")
async def report_forecast(work: Seeing) -> Response:
    """Return what this month of UTC will have come to, by team, with how that was reckoned."""
    sight = Sight.of(work.principal)
    told = await forecast(work.session, sight, at=work.at)
    names = await team_names(work.session, [team.team_id for team in told.teams], account_id=work.account_id)
    return answer(ForecastOut.of(told, names, explained(told), is_whole=sight.is_whole))


@router.get("/idle", response_model=IdleReport, operation_id="report_idle")
async def report_idle(query: Annotated[IdleQuery, Query()], work: Seeing) -> Response:
    """Return which GPUs did nothing while they were paid for, for how long, and what that cost.

    Estimated from samples of each GPU's utilisation, taken every few minutes; a sample stands for the time since the one
    before.
    """
    sight, days = Sight.of(work.principal), query.days(work.at)
    told = await sum_idleness(work.session, sight, days, limit=query.limit)
    return answer(IdleReport.of(told, days, idle_percent=IDLE_PERCENT, is_whole=sight.is_whole, at=work.at))


@router.get(
    "/chargeback/{month}",
    response_model=ChargebackOut,
    operation_id="report_chargeback",
    responses={**_contents(Format.CSV, Format.PDF), **responses_for(NotFound)},
)
async def report_chargeback(
    month: str, query: Annotated[ChargebackQuery, Query()], work: Billing, request: Request
) -> Response:
    """Return each team's part of a month such as `2026-03`; what belongs to no team has a part too.

    The parts add up to the ledger to the micro-dollar. As JSON, or by `Accept` or `format` as `text/csv`, or as
    `application/pdf` to file.
    """
    try:
        wanted = Month.parse(month)
    except ValueError:
        raise NotFound from None
    told = await charge_back(work.session, Sight.of(work.principal), wanted, at=work.at)
    account = await tenancy.get_account(work.session, account_id=work.account_id)
    form = Format(query.format) if query.format else preferred(request, _CHARGEBACK_FORMS, otherwise=Format.JSON)
    if form is Format.PDF:
        paper = await asyncio.to_thread(_printed, told, account_id=work.account_id, account_name=account.name)
        return _file(paper, form, f"chargeback-{wanted}")
    if form is Format.CSV:
        return _file(chargeback_csv(told), form, f"chargeback-{wanted}")
    return answer(ChargebackOut.of(told, account_id=work.account_id, account_name=account.name), headers=_VARY)


def _printed(told: Chargeback, *, account_id: str, account_name: str) -> bytes:
    from app.reports.paper import printed  # noqa: PLC0415 - a start need not wait for what draws

    return printed(told, account_id=account_id, account_name=account_name)


def _file(body: str | bytes, form: Format, name: str) -> Response:
    attached = {"Content-Disposition": f'attachment; filename="hourglass-{name}.{form}"'}
    return Response(body, media_type=_MEDIA_TYPES[form], headers=_VARY | attached)
