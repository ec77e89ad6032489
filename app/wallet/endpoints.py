"""The wallet over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app.kit.clock import rfc3339
from app.kit.errors import NotFound
from app.kit.money import dollars
from app.ledger import NoWalletError
from app.wallet.alerts import set_low_balance
from app.wallet.hold_views import holds_shown, id_of
from app.wallet.holds import lock
from app.wallet.reading import Balance, get_balance
from app.wallet.schemas import Grouping, Hold, HoldPage, Usage, UsagePage, Wallet, WalletUpdate
from app.wallet.usage import Span, sum_by_day, sum_by_rental
from app.web import ListAnswer, Work, answer, check_match, etag, list_answer, new_router, responses_for, working
from app.web.errors import EtagMismatch, InvalidCursor

router = new_router("/v1", tag="billing")
Reading = Annotated[Work, Depends(working("billing:read"), scope="function")]
Writing = Annotated[Work, Depends(working("billing:write"), scope="function")]


@router.get("/wallet", response_model=Wallet, operation_id="get_wallet", responses=responses_for(NotFound))
async def get_wallet(work: Reading) -> Response:
    """Return the wallet as it stands at this second. Its entity tag stands for what can be changed of it."""
    return await _told(work)


@router.patch(
    "/wallet", response_model=Wallet, operation_id="update_wallet", responses=responses_for(NotFound, EtagMismatch)
)
async def update_wallet(body: WalletUpdate, work: Writing, request: Request) -> Response:
    """Set or drop the level of available money at which a warning is told."""
    await lock(work.session, account_id=work.account_id)
    check_match(request, _tag(work, await _balance(work)))
    await set_low_balance(work.session, account_id=work.account_id, threshold=body.alert_below)
    return await _told(work)


@router.get(
    "/wallet/holds",
    response_model=ListAnswer[Hold],
    operation_id="list_holds",
    responses=responses_for(InvalidCursor),
)
async def list_open_holds(page: Annotated[HoldPage, Query()], work: Reading) -> Response:
    """Return what is held for rentals, refunds and disputes."""
    position = work.after(page)
    before = str(position[0]) if position else None
    holds = await holds_shown(work.session, account_id=work.account_id, before=before, limit=page.limit + 1, at=work.at)
    return answer(
        list_answer(holds, page, render=lambda hold: hold, seal=lambda hold: work.cursor((id_of(hold),), page))
    )


@router.get(
    "/billing/usage",
    response_model=ListAnswer[Usage],
    operation_id="list_usage",
    responses=responses_for(InvalidCursor),
)
async def list_usage(page: Annotated[UsagePage, Query()], work: Reading) -> Response:
    """Return what was charged, summed by rental or by day."""
    position = work.after(page)
    sums = sum_by_rental if page.group_by is Grouping.RENTAL else sum_by_day
    rows = await sums(
        work.session,
        Span(page.since, page.until),
        account_id=work.account_id,
        before=str(position[0]) if position else None,
        limit=page.limit + 1,
    )
    return answer(
        list_answer(
            rows,
            page,
            render=lambda used: Usage.of(used, page.group_by),
            seal=lambda used: work.cursor((used.key,), page),
        )
    )


async def _balance(work: Work) -> Balance:
    try:
        return await get_balance(work.session, account_id=work.account_id, at=work.at)
    except NoWalletError:
        raise NotFound from None


async def _told(work: Work) -> Response:
    balance = await _balance(work)
    runway, below = balance.runway_seconds, balance.alert_below
    body = (
        f'{{"object":"wallet","available":"{dollars(balance.available)}","reserved":"{dollars(balance.reserved)}",'
        f'"total":"{dollars(balance.total)}","accrued":"{dollars(balance.accrued)}",'
        f'"burn_per_hour":"{dollars(balance.burn_per_hour)}",'
        f'"runway_seconds":{"null" if runway is None else runway},"incoming":"{dollars(balance.incoming)}",'
        f'"owed":"{dollars(balance.owed)}",'
        f'"running":{balance.running},"frozen":{_flag(balance.frozen)},"restricted":{_flag(balance.restricted)},'
        f'"alert_below":{"null" if below is None else _quoted(below)},"as_of":"{rfc3339(work.at)}"}}'
    )
    return Response(body, media_type="application/json", headers={"ETag": _tag(work, balance)})


def _flag(value: bool) -> str:  # noqa: FBT001 - the value is the point
    return "true" if value else "false"


def _quoted(micros: int) -> str:
    return f'"{dollars(micros)}"'


def _tag(work: Work, balance: Balance) -> str:
    return etag(work.account_id, balance.alert_below)
