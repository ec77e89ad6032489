"""The ledger over HTTP: a page, everything as CSV or JSON lines, one transfer, and its verification."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.kit.errors import NotFound
from app.kit.ids import AccountId, TransferId
from app.ledger.listing import Wanted, every_transfer, find_transfer, list_transfers
from app.ledger.rendering import csv_head, csv_of, json_of
from app.ledger.schemas import LedgerPage, Transfer, Verification
from app.ledger.sealing import verify
from app.web import AppState, ListAnswer, Work, answer, new_router, preferred, responses_for, working
from app.web.errors import InvalidCursor
from app.web.exchange import state_of

router = new_router("/v1/billing/ledger", tag="billing")
Reading = Annotated[Work, Depends(working("billing:read"), scope="function")]

CSV, JSONL = "text/csv", "application/jsonl"
_JSON = "application/json"
_FORMS = {CSV: CSV, JSONL: JSONL, _JSON: _JSON, "application/*": _JSON, "*/*": _JSON}
_STREAMED = {
    CSV: {"schema": {"type": "string"}, "example": csv_head()},
    JSONL: {"schema": {"type": "string"}, "example": "{…}\n{…}\n"},
}


@router.get(
    "",
    response_model=ListAnswer[Transfer],
    operation_id="list_transfers",
    responses={200: {"content": _STREAMED}, **responses_for(InvalidCursor)},
)
async def list_ledger(page: Annotated[LedgerPage, Query()], work: Reading, request: Request) -> Response:
    """Return the account's movements of money, newest first.

    With `Accept: text/csv` or `application/jsonl` everything that matches is streamed, whatever the limit.
    """
    position = work.after(page)
    wanted = Wanted(page.kind, page.rental_id, page.since, page.until, int(position[0]) if position else None)
    if (media_type := preferred(request, _FORMS, otherwise=_JSON)) != _JSON:
        return _export(state_of(request), wanted, account_id=work.account_id, media_type=media_type)
    rows = await list_transfers(work.session, wanted, account_id=work.account_id, limit=page.limit + 1)
    more = len(rows) > page.limit
    shown = rows[: page.limit]
    cursor = f'"{work.cursor((shown[-1]["seq"],), page)}"' if more else "null"
    data = ",".join(map(json_of, shown))
    body = f'{{"object":"list","data":[{data}],"has_more":{"true" if more else "false"},"next_cursor":{cursor}}}'
    return Response(body, media_type=_JSON)


@router.get("/verify", response_model=Verification, operation_id="verify_ledger")
async def verify_ledger(work: Reading) -> Response:
    """Recompute every balance and the hash chain of the account's whole ledger."""
    found = await verify(work.session, account_id=work.account_id)
    return answer(
        Verification(
            ok=found.ok,
            rows=found.rows,
            seals=found.seals,
            first_bad_seq=found.first_bad_seq,
            verified_at=work.at,
        )
    )


@router.get("/{transfer_id}", response_model=Transfer, operation_id="get_transfer", responses=responses_for(NotFound))
async def get_one(transfer_id: str, work: Reading) -> Response:
    """Return one movement."""
    try:
        known = TransferId.parse(transfer_id)
    except ValueError:
        raise NotFound from None
    row = await find_transfer(work.session, account_id=work.account_id, transfer_id=known)
    if row is None:
        raise NotFound
    return Response(json_of(row), media_type=_JSON)


def _export(state: AppState, wanted: Wanted, *, account_id: AccountId, media_type: str) -> Response:
    lines = _csv_lines if media_type == CSV else _json_lines
    name = "ledger.csv" if media_type == CSV else "ledger.jsonl"
    return StreamingResponse(
        lines(state, wanted, account_id),
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _csv_lines(state: AppState, wanted: Wanted, account_id: AccountId) -> AsyncIterator[str]:
    yield csv_head()
    async for rows in every_transfer(state.db, wanted, account_id=account_id):
        yield csv_of(rows)


async def _json_lines(state: AppState, wanted: Wanted, account_id: AccountId) -> AsyncIterator[str]:
    async for rows in every_transfer(state.db, wanted, account_id=account_id):
        yield "".join(f"{json_of(row)}\n" for row in rows)
