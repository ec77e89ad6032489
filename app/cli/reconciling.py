"""Comparing a day or a month with Stripe by hand, as the worker does it, and taking up events that were given up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from app import audit
from app.bootstrap import WorkerState, new_worker_state
from app.cli.errors import CliError, Exit, UsageError
from app.cli.preparing import database_told_plainly
from app.settings import Settings
from app.topups import GatewayError
from app.topups.books.reconciliations import compare_day, compare_month
from app.topups.events import queue as event_queue

_MONTH_CHARACTERS = len("2026-03")


async def reconcile(settings: Settings, *, over: str) -> Mapping[str, Any]:
    """Return the report of a day (2026-03-01), of a month (2026-03), or of yesterday when nothing is named.

    Raises:
        CliError: no card is taken here, or Stripe does not answer.
        UsageError: it is neither, or not over yet.
    """
    state = new_worker_state(settings)
    try:
        async with database_told_plainly():
            return await _report(state, over)
    except GatewayError as error:
        told = f"Stripe did not answer ({type(error).__name__}). Nothing was concluded."
        raise CliError(told, exit_code=Exit.PROVIDER) from None
    finally:
        await state.aclose()


async def revive_events(settings: Settings) -> int:
    """Hand out again every event of Stripe's that was given up; return how many."""
    state = new_worker_state(settings)
    try:
        at = state.topups.clock.now()
        async with database_told_plainly(), state.topups.db.begin_unscoped() as session:
            count = await event_queue.revive(session, at=at)
            told = audit.Entry(
                audit.OPERATOR, "stripe_events.revived", "stripe-events", at, audit.OPERATOR, details={"count": count}
            )
            await audit.write(session, told)
            return count
    finally:
        await state.aclose()


async def _report(state: WorkerState, over: str) -> Mapping[str, Any]:
    at = state.topups.clock.now()
    first, until = _span(over, at)
    if until > at:
        raise UsageError(f"{over} is not over yet, in UTC.")
    if len(over) == _MONTH_CHARACTERS:
        return await compare_month(state.topups.db, first, at=at)
    if state.topups.stripe is None:
        raise CliError("No card is taken here: STRIPE_API_KEY is not set.")
    report = await compare_day(state.topups, first, at=at)
    return {**report.document(), "ok": report.ok}


def _span(over: str, at: datetime) -> tuple[date, datetime]:
    """Return the first day that is meant, and when it is over."""
    if not over:
        return at.date() - timedelta(days=1), at
    is_month = len(over) == _MONTH_CHARACTERS
    try:
        first = datetime.strptime(over, "%Y-%m" if is_month else "%Y-%m-%d").replace(tzinfo=UTC)
        ends = (first.replace(day=28) + timedelta(days=4)).replace(day=1) if is_month else first + timedelta(days=1)
    except (ValueError, OverflowError):
        raise UsageError(f"{over} is neither a day such as 2026-03-01 nor a month such as 2026-03.") from None
    return first.date(), ends
