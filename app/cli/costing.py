"""What the operator asks about costs: what machines cost, what is left of rentals, and a day beside a cloud's books."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast, get_args

from app import costs
from app.bootstrap import new_tools
from app.cli.errors import CliError, Exit, UsageError
from app.cli.preparing import database_told_plainly
from app.costs.margins import By
from app.kit.money import dollars
from app.providers import ProviderError
from app.rentals import Tools
from app.settings import Settings


async def sum_costs(settings: Settings, *, since: str, until: str) -> Mapping[str, Any]:
    """Return what the machines cost that ended on the days from the one to the other, both included.

    Raises:
        UsageError: they are no days.
    """
    tools = new_tools(settings)
    begin, end = _span(since, until, tools.clock.now())
    try:
        async with database_told_plainly(), tools.db.begin_unscoped() as session:
            found = await costs.sum_costs(session, since=begin, until=end)
    finally:
        await _close(tools)
    return {
        **_told(begin, end),
        "providers": [one.document() for one in found],
        "total": dollars(sum(one.exact_micros + one.estimated_micros for one in found)),
        "orphans": dollars(sum(one.orphans_micros for one in found)),
        "open": sum(one.open for one in found),
    }


async def list_margins(settings: Settings, *, since: str, until: str, by: str, limit: int) -> Mapping[str, Any]:
    """Return what is left of the rentals that ended on the days from the one to the other, the worst first.

    Raises:
        UsageError: they are no days, or there is no such grouping.
    """
    if by not in get_args(By):
        raise UsageError(f"Margins are told by {', '.join(get_args(By))}, not by {by}.")
    tools = new_tools(settings)
    begin, end = _span(since, until, tools.clock.now())
    try:
        async with database_told_plainly(), tools.db.begin_unscoped() as session:
            found = await costs.list_margins(session, since=begin, until=end, by=cast("By", by), limit=limit)
            whole = next(iter(await costs.list_margins(session, since=begin, until=end, by="everything")), None)
            orphans = await costs.sum_orphans(session, since=begin, until=end)
    finally:
        await _close(tools)
    return {
        **_told(begin, end),
        "by": by,
        "margins": [one.document() for one in found],
        "all": whole.document() if whole else None,
        "orphans": {"machines": orphans.machines, "cost": dollars(orphans.cost)},
        "left": dollars((whole.micros if whole else 0) - orphans.cost),
    }


async def reconcile_costs(settings: Settings, *, day: str, provider: str | None) -> Mapping[str, Any]:
    """Lay a day, or yesterday, beside the books of a cloud, or of every one that is set up.

    Raises:
        CliError: a cloud is not set up, or does not answer.
        UsageError: it is no day, or not over yet.
    """
    tools = new_tools(settings)
    try:
        async with database_told_plainly():
            return await _reconcile(tools, day, provider)
    except ProviderError as error:
        told = f"The cloud did not answer ({type(error).__name__}: {error.message}). Nothing was concluded."
        raise CliError(told, exit_code=Exit.PROVIDER) from None
    finally:
        await _close(tools)


async def _reconcile(tools: Tools, text: str, provider: str | None) -> Mapping[str, Any]:
    at = tools.clock.now()
    day = _day(text) if text else at.date() - timedelta(days=1)
    if day >= at.date():
        raise UsageError(f"{day} is not over yet, in UTC.")
    if provider is not None and provider not in tools.providers:
        raise CliError(f"{provider} is not set up here; there are: {', '.join(sorted(tools.providers)) or 'none'}.")
    reports = {}
    agree = True
    for name in [provider] if provider else sorted(tools.providers):
        found = await costs.compare_day(tools, name, day, at=at)
        reports[name] = found.document() if found else {"books": False}
        agree &= found is None or found.ok
    return {"day": day.isoformat(), "providers": reports, "ok": agree}


def _span(since: str, until: str, at: datetime) -> tuple[datetime, datetime]:
    first = _day(since) if since else at.date()
    last = _day(until) if until else max(first, at.date())
    if last < first:
        raise UsageError(f"{until} is before {since}.")
    begin = datetime.combine(first, time.min, UTC)
    return begin, datetime.combine(last, time.min, UTC) + timedelta(days=1)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text) if len(text) == len("2026-03-01") else _no_day(text)
    except ValueError:
        return _no_day(text)


def _no_day(text: str) -> date:
    raise UsageError(f"{text} is no day such as 2026-03-01.")


def _told(begin: datetime, end: datetime) -> dict[str, str]:
    return {"from": f"{begin:%Y-%m-%d}", "to": f"{end - timedelta(days=1):%Y-%m-%d}"}


async def _close(tools: Tools) -> None:
    for provider in tools.providers.values():
        await provider.aclose()
    await tools.db.aclose()
