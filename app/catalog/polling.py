"""When a provider is polled: by the interval, later after failures, sooner when somebody asks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.providers.contract import Capability

EVERY_SECONDS = 60
BACKOFF_SECONDS_MAX = 600
REQUEST_SPACING_SECONDS = 10
"""A refresh asked for by hand comes no sooner than this after the last attempt."""

_DUE = f"""
    NOT paused AND (
        last_attempt_at IS NULL
        OR last_attempt_at <= $1::timestamptz - make_interval(
            secs => LEAST({EVERY_SECONDS} * 2 ^ LEAST(consecutive_failures, 10), {BACKOFF_SECONDS_MAX}))
        OR last_attempt_at <= $1::timestamptz - interval '{REQUEST_SPACING_SECONDS} seconds' AND EXISTS (
            SELECT 1 FROM refresh_requests r
            WHERE r.provider = provider_states.provider AND r.requested_at > last_attempt_at))
"""  # noqa: S608 - numbers of ours
_LIST_DUE = f"""
    SELECT n AS provider FROM unnest($2::text[]) AS n LEFT JOIN provider_states ON provider = n
    WHERE provider IS NULL OR ({_DUE}) ORDER BY n
"""  # noqa: S608 - as above


async def register_providers(session: AsyncSession, capabilities: Iterable[Capability]) -> None:
    """Make providers known, with what they can do; the states of known ones are kept."""
    await driver(session).executemany(
        "INSERT INTO provider_states (provider, capability, paused, consecutive_failures, polls, polls_failed, listings, "
        "left_out) VALUES ($1, $2::text::jsonb, false, 0, 0, 0, 0, '{}') "
        "ON CONFLICT (provider) DO UPDATE SET capability = excluded.capability",
        [(capability.name, json.dumps(asdict(capability))) for capability in capabilities],
    )


async def request_refresh(session: AsyncSession, providers: Iterable[str], *, at: datetime) -> None:
    """Ask the worker to poll these providers soon. Any number of requests before a poll are one."""
    await driver(session).execute(
        "INSERT INTO refresh_requests AS r (provider, requested_at) SELECT n, $1 FROM unnest($2::text[]) AS n ORDER BY n "
        "ON CONFLICT (provider) DO UPDATE SET requested_at = GREATEST(r.requested_at, excluded.requested_at)",
        at,
        sorted(set(providers)),
    )


async def list_due(session: AsyncSession, providers: Iterable[str], *, at: datetime) -> list[str]:
    """Return those of the given providers whose poll is due."""
    rows = await driver(session).fetch(_LIST_DUE, at, sorted(providers))
    return [row["provider"] for row in rows]


async def claim_poll(session: AsyncSession, provider: str, *, at: datetime) -> bool:
    """Take a due poll for oneself; False when it is not due, or another worker was first.

    No lease is needed: a claim whose worker dies lapses with the interval, and an answer that comes late is refused.
    """
    taken = await driver(session).fetchval(
        f"UPDATE provider_states SET last_attempt_at = $1 WHERE provider = $2 AND {_DUE} RETURNING true",  # noqa: S608 - text of ours
        at,
        provider,
    )
    return bool(taken)


async def pause_provider(session: AsyncSession, provider: str) -> None:
    """Neither poll nor quote this provider until it is resumed."""
    await driver(session).execute("UPDATE provider_states SET paused = true WHERE provider = $1", provider)


async def resume_provider(session: AsyncSession, provider: str) -> None:
    """Poll and quote this provider again."""
    await driver(session).execute("UPDATE provider_states SET paused = false WHERE provider = $1", provider)
