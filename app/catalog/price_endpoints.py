"""The price history over HTTP: a page of hours, or all of them as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from app.catalog.errors import UnknownFamily
from app.catalog.history import PricePosition, PricesWanted, every_price, list_prices
from app.catalog.price_schemas import (
    CSV_HEAD,
    PriceFormat,
    PriceHistoryPage,
    PricePointOut,
    csv_of,
    opened_position,
    sealed_position,
)
from app.catalog.routing import CatalogWork, router
from app.kit.db import Database
from app.kit.ids import AccountId
from app.web import ListAnswer, answer, list_answer, preferred, responses_for
from app.web.errors import InvalidCursor, ValidationFailed
from app.web.exchange import state_of

_CSV, _JSON = "text/csv", "application/json"
_FORMATS = {
    _CSV: PriceFormat.CSV,
    "text/*": PriceFormat.CSV,
    _JSON: PriceFormat.JSON,
    "application/*": PriceFormat.JSON,
    "*/*": PriceFormat.JSON,
}


@router.get(
    "/catalog/price-history",
    response_model=ListAnswer[PricePointOut],
    operation_id="get_price_history",
    responses={
        200: {"content": {_CSV: {"schema": {"type": "string"}, "example": CSV_HEAD}}},
        **responses_for(InvalidCursor, UnknownFamily, ValidationFailed),
    },
)
async def get_price_history(
    page: Annotated[PriceHistoryPage, Query()], work: CatalogWork, request: Request
) -> Response:
    """Return a family's prices per GPU hour, hour by hour or day by day, the oldest first; 90 days are kept.

    With `Accept: text/csv` or `format=csv` everything that matches is streamed, whatever the limit. Points of the
    region `all` are daily medians of a whole provider that were loaded from a file.
    """
    wanted, after = page.wanted(work.at), opened_position(work.after(page))
    if (page.format or preferred(request, _FORMATS, otherwise=PriceFormat.JSON)) is PriceFormat.CSV:
        parts = _csv_parts(state_of(request).db, wanted, work.account_id, after)
        name = f"prices-{wanted.family}.csv"
        headers = {"Vary": "Accept", "Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(parts, media_type=_CSV, headers=headers)
    points = await list_prices(work.session, wanted, after=after, limit=page.limit + 1)
    told = list_answer(
        points, page, render=PricePointOut.of, seal=lambda point: work.cursor(sealed_position(point), page)
    )
    return answer(told, headers={"Vary": "Accept"})


async def _csv_parts(
    db: Database, wanted: PricesWanted, account_id: AccountId, after: PricePosition | None
) -> AsyncIterator[str]:
    yield CSV_HEAD
    async for points in every_price(db, wanted, account_id=account_id, after=after):
        yield csv_of(points)
