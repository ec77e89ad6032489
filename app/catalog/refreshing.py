"""Keeping listings as the clouds tell them.

A poll asks the cloud outside of any transaction, then writes its whole answer in one: what is new or changed, what is
gone, the hour's prices and the provider's state. What did not change is not written at all; being seen is recorded once,
as the provider's ``last_success_at``. A poll that fails changes no listing: they only grow older.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import attrgetter
from typing import Literal

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.catalog.history import record_prices
from app.catalog.normalising import ListingValues, Normalised, normalise_all
from app.catalog.polling import claim_poll, register_providers
from app.kit.db import Database, driver
from app.providers.contract import Capability, Offer, Provider
from app.providers.errors import ProviderError

log = structlog.get_logger(__name__)

_ANSWER_SECONDS_MAX = 60
_ERROR_MAX = 300
_TYPES = {"str": "text", "bool": "boolean", "int": "bigint", "datetime": "timestamptz"}
_COLUMNS = tuple(item.name for item in fields(ListingValues))
_NAMES = ", ".join(_COLUMNS)
_values = attrgetter(*_COLUMNS)
_ARRAYS = ", ".join(
    f"${number}::{_TYPES[str(item.type).partition(' ')[0]]}[]"
    for number, item in enumerate(fields(ListingValues), start=3)
)
_UPSERT = f"""
    WITH seen AS MATERIALIZED (SELECT * FROM unnest({_ARRAYS}) AS s({_NAMES})),
    written AS (
        INSERT INTO listings ({_NAMES}, first_seen_at, changed_at)
        SELECT {", ".join(f"s.{name}" for name in _COLUMNS)}, $1::timestamptz, $1::timestamptz
        FROM seen s LEFT JOIN listings l ON l.id = s.id
        WHERE l.id IS NULL OR l.gone_at IS NOT NULL
            OR ({", ".join(f"l.{name}" for name in _COLUMNS)}) IS DISTINCT FROM ({", ".join(f"s.{name}" for name in _COLUMNS)})
        ON CONFLICT (id) DO UPDATE SET gone_at = NULL, changed_at = excluded.changed_at,
            {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "id")}
        RETURNING 1),
    gone AS (
        UPDATE listings SET gone_at = $1
        WHERE provider = $2 AND gone_at IS NULL AND NOT EXISTS (SELECT 1 FROM seen WHERE seen.id = listings.id)
        RETURNING 1)
    SELECT (SELECT count(*) FROM written) AS written, (SELECT count(*) FROM gone) AS gone
"""  # noqa: S608 - column names are the dataclass's own


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """What a poll of one provider came to."""

    provider: str
    status: Literal["refreshed", "failed", "superseded"]
    """``superseded``: a poll that began later has already written its answer."""
    listings: int = 0
    """How many the cloud has now."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Reason → number of offers that are no listing."""
    error: str | None = None
    written: int = 0
    """New or changed ones."""
    gone: int = 0


async def refresh_provider(db: Database, provider: Provider, *, at: datetime) -> RefreshResult:
    """Poll one cloud and write its answer. Never raises for the cloud's sake: a dead cloud is a result."""
    capability = provider.capability
    try:
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            offers = await provider.list_offers()
    except Exception as error:  # noqa: BLE001 - whatever one cloud does must not end the others' refresh
        message = f"{type(error).__name__}: {error}"[:_ERROR_MAX]
        log.warning(
            "catalog.poll_failed", provider=capability.name, error=message, known=isinstance(error, ProviderError)
        )
        async with db.begin_unscoped() as session:
            await register_providers(session, [capability])
            await _write_failure(session, capability.name, message, at=at)
        return RefreshResult(capability.name, "failed", error=message)
    return await _write(db, capability, offers, at=at)


async def _write(db: Database, capability: Capability, offers: Sequence[Offer], *, at: datetime) -> RefreshResult:
    answer = await asyncio.to_thread(normalise_all, capability.name, offers)  # half a second for 20,000 offers
    left_out = {str(reason): count for reason, count in answer.left_out.items()}
    async with db.begin_unscoped() as session:
        await register_providers(session, [capability])
        if not await _lock_older_state(session, capability.name, at=at):
            return RefreshResult(capability.name, "superseded", left_out=left_out)
        written, gone = await _write_listings(session, capability.name, answer, at=at)
        await record_prices(session, capability.name, at=at)
        await driver(session).execute(
            "UPDATE provider_states SET last_attempt_at = GREATEST(last_attempt_at, $2), last_success_at = $2, "
            "last_error = NULL, consecutive_failures = 0, polls = polls + 1, listings = $3, left_out = $4::text::jsonb "
            "WHERE provider = $1",
            capability.name,
            at,
            len(answer.listings),
            json.dumps(left_out),
        )
    return RefreshResult(capability.name, "refreshed", len(answer.listings), left_out, None, written, gone)


async def _lock_older_state(session: AsyncSession, provider: str, *, at: datetime) -> bool:
    """Lock the provider's state; False when a later poll has been written already."""
    last = await driver(session).fetchval(
        "SELECT last_success_at FROM provider_states WHERE provider = $1 FOR UPDATE", provider
    )
    return last is None or last <= at


async def _write_listings(session: AsyncSession, provider: str, answer: Normalised, *, at: datetime) -> tuple[int, int]:
    arrays = list(zip(*map(_values, answer.listings), strict=True)) or [()] * len(_COLUMNS)
    row = await driver(session).fetchrow(_UPSERT, at, provider, *arrays)
    return (row["written"], row["gone"]) if row else (0, 0)


async def _write_failure(session: AsyncSession, provider: str, message: str, *, at: datetime) -> None:
    await driver(session).execute(
        "UPDATE provider_states SET last_attempt_at = GREATEST(last_attempt_at, $2), last_error = $3, polls = polls + 1, "
        "consecutive_failures = consecutive_failures + 1, polls_failed = polls_failed + 1 WHERE provider = $1",
        provider,
        at,
        message.replace("\x00", ""),
    )


async def refresh_due(db: Database, providers: Sequence[Provider], *, at: datetime) -> list[RefreshResult]:
    """Poll every provider that is due, all at once; each is polled by one worker only."""
    results = await asyncio.gather(*(refresh_if_due(db, provider, at=at) for provider in providers))
    return [result for result in results if result is not None]


async def refresh_if_due(db: Database, provider: Provider, *, at: datetime) -> RefreshResult | None:
    """Poll a provider if its poll is due and nobody else has taken it; None otherwise."""
    async with db.begin_unscoped() as session:
        await register_providers(session, [provider.capability])
        mine = await claim_poll(session, provider.capability.name, at=at)
    return await refresh_provider(db, provider, at=at) if mine else None
