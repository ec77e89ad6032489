"""What the operator does with the catalog: hosts that are kept back, and prices of days past."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, catalog
from app.cli.accounts import opened
from app.cli.errors import CliError, Exit, UsageError
from app.kit.clock import SystemClock
from app.kit.rls import WORKER
from app.settings import Settings


async def list_quarantined(settings: Settings) -> list[catalog.QuarantinedHost]:
    """Return every host of which nothing is offered now."""
    async with opened(settings, WORKER) as db, db.begin_unscoped() as session:
        return await catalog.list_quarantined_hosts(session, at=SystemClock().now())


async def quarantine(settings: Settings, provider: str, host_id: str, *, reason: str, days: int | None) -> None:
    """Offer nothing on a host for some days, or until it is released.

    Raises:
        CliError: there is no such provider.
    """
    at = SystemClock().now()
    async with opened(settings, WORKER) as db, db.begin_unscoped() as session:
        known = [status.provider for status in await catalog.list_providers(session)]
        if provider not in known:
            told = f"There is no provider {provider}. There are: {', '.join(known) or 'none yet'}."
            raise CliError(told, exit_code=Exit.NOT_FOUND)
        until = None if days is None else at + timedelta(days=days)
        await catalog.quarantine_host(session, provider=provider, host_id=host_id, reason=reason, at=at, until=until)
        await _tell(session, "host.quarantined", f"{provider}/{host_id}", {"reason": reason, "until": until}, at=at)


async def release(settings: Settings, provider: str, host_id: str) -> None:
    """Offer what a host has again.

    Raises:
        CliError: it is not kept back.
    """
    async with opened(settings, WORKER) as db, db.begin_unscoped() as session:
        if not await catalog.release_host(session, provider=provider, host_id=host_id):
            raise CliError(f"{host_id} of {provider} is not in quarantine.", exit_code=Exit.NOT_FOUND)
        await _tell(session, "host.released", f"{provider}/{host_id}", {}, at=SystemClock().now())


async def load_prices(settings: Settings, text: str) -> catalog.Loaded:
    """Load a file of daily medians.

    Raises:
        UsageError: it is not one.
    """
    at = SystemClock().now()
    try:
        async with opened(settings, WORKER) as db, db.begin_unscoped() as session:
            loaded = await catalog.load_daily_medians(session, text, at=at)
            await _tell(session, "prices.loaded", "price-history", {"points": loaded.points}, at=at)
            return loaded
    except catalog.NotDailyMedians as error:
        raise UsageError(f"This is no file of daily medians: {error}.") from None


async def _tell(
    session: AsyncSession, action: str, target: str, details: Mapping[str, object], *, at: datetime
) -> None:
    """Tell of an act that concerns no account in particular, in a chain of the operator's own."""
    await audit.write(session, audit.Entry(audit.OPERATOR, action, target, at, details=details))
