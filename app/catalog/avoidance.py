"""What to keep away from: offers that just failed, and hosts that delivered something broken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver

_REASON_MAX = 200
_KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class QuarantinedHost:
    """A physical host of which nothing is offered."""

    provider: str
    host_id: str
    reason: str
    quarantined_at: datetime
    until: datetime | None
    """None: until it is released."""
    listings: int
    """How many listings are kept back by it."""


async def remember_failure(
    session: AsyncSession, *, provider: str, offer_id: str, reason: str, until: datetime
) -> None:
    """Offer this offer to nobody before ``until``; a longer wait that stands already is kept."""
    await driver(session).execute(
        "INSERT INTO listing_failures AS f (provider, offer_id, reason, until) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (provider, offer_id) DO UPDATE SET reason = excluded.reason, until = excluded.until "
        "WHERE f.until < excluded.until",
        provider,
        offer_id,
        reason[:_REASON_MAX],
        until,
    )


async def quarantine_host(
    session: AsyncSession, *, provider: str, host_id: str, reason: str, at: datetime, until: datetime | None = None
) -> None:
    """Offer nothing on this host, before ``until`` or until an operator releases it."""
    await driver(session).execute(
        "INSERT INTO quarantined_hosts (provider, host_id, reason, quarantined_at, until) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (provider, host_id) DO UPDATE SET reason = excluded.reason, until = excluded.until, "
        "quarantined_at = excluded.quarantined_at",
        provider,
        host_id,
        reason[:_REASON_MAX],
        at,
        until,
    )


async def list_quarantined_hosts(session: AsyncSession, *, at: datetime) -> list[QuarantinedHost]:
    """Return every host of which nothing is offered at this moment, the newest first."""
    rows = await driver(session).fetch(
        """
        SELECT q.provider, q.host_id, q.reason, q.quarantined_at, q.until, (
            SELECT count(*) FROM listings l
            WHERE l.provider = q.provider AND l.host_id = q.host_id AND l.gone_at IS NULL) AS listings
        FROM quarantined_hosts q WHERE q.until IS NULL OR q.until > $1 ORDER BY q.quarantined_at DESC, 1, 2
        """,
        at,
    )
    return [QuarantinedHost(**row) for row in rows]


async def release_host(session: AsyncSession, *, provider: str, host_id: str) -> bool:
    """End a quarantine; False where there was none."""
    status: str = await driver(session).execute(
        "DELETE FROM quarantined_hosts WHERE provider = $1 AND host_id = $2", provider, host_id
    )
    return status != "DELETE 0"


async def forget_past_failures(session: AsyncSession, *, at: datetime) -> None:
    """Delete what has been over for a day."""
    await driver(session).execute("DELETE FROM listing_failures WHERE until < $1", at - _KEPT)
    await driver(session).execute("DELETE FROM quarantined_hosts WHERE until < $1", at - _KEPT)
