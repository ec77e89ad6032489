"""Holds as they are shown: a rental's with its meter, and a refund's or a dispute's, in one list."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.ids import AccountId
from app.wallet.reading import HoldView, list_holds
from app.wallet.reversal_holds import ReversalHold, list_reversal_holds
from app.wallet.schemas import Ending, Hold

_ENDINGS: Final[Mapping[str, Ending]] = {"max_spend": "max_spend", "budget_exceeded": "budget_exceeded"}


async def holds_shown(
    session: AsyncSession, *, account_id: AccountId, before: str | None, limit: int, at: datetime
) -> list[Hold]:
    """Return the open holds in falling order of what they are for, from below ``before`` on."""
    rentals = await list_holds(session, account_id=account_id, before=before, limit=limit)
    reversals = await list_reversal_holds(session, account_id=account_id, before=before, limit=limit)
    shown = [_of_rental(view, at) for view in rentals] + [_of_reversal(hold, at) for hold in reversals]
    return sorted(shown, key=id_of, reverse=True)[:limit]


def id_of(hold: Hold) -> str:
    """Return what a hold is for."""
    return hold.rental_id or hold.refund_id or hold.dispute_id or ""


def _of_rental(view: HoldView, at: datetime) -> Hold:
    meter = view.meter
    accrued = meter.accrued(at)
    return Hold(
        kind="rental",
        rental_id=meter.rental_id,
        refund_id=None,
        dispute_id=None,
        payment_id=None,
        state="running" if view.state == "running" else "waiting",
        rate_per_hour=meter.rate,
        held=meter.held,
        remaining=meter.held - accrued,
        accrued=accrued,
        charged=meter.charged,
        billed_seconds=meter.billed_seconds,
        max_spend=meter.max_spend,
        funded_until=meter.funded_until,
        ends_at=meter.ends_at,
        ends_because=_because(meter.ends_because),
        as_of=at,
    )


def _of_reversal(hold: ReversalHold, at: datetime) -> Hold:
    return Hold(
        kind=hold.kind,
        rental_id=None,
        refund_id=hold.reference if hold.kind == "refund" else None,
        dispute_id=hold.reference if hold.kind == "dispute" else None,
        payment_id=hold.payment_id,
        state="open",
        rate_per_hour=None,
        held=hold.held,
        remaining=hold.held,
        accrued=0,
        charged=0,
        billed_seconds=0,
        max_spend=None,
        funded_until=None,
        ends_at=None,
        ends_because=None,
        as_of=at,
    )


def _because(text: str | None) -> Ending | None:
    if text is None:
        return None
    return _ENDINGS.get(text, "wallet_empty")
