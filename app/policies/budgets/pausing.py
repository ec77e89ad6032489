"""Pauses: nothing new is provisioned for a subject until a moment. The caller holds the wallet's lock."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit
from app.kit.clock import rfc3339
from app.kit.db import driver
from app.kit.ids import AccountId
from app.policies import queries
from app.policies.budgets.queries import SAVE_PAUSE
from app.policies.terms import Policy, Terms


async def pause(
    session: AsyncSession, policy: Policy, until: datetime, because: str, *, account_id: AccountId, at: datetime
) -> None:
    """Pause a subject; one that was never given a policy keeps its default beside it."""
    if policy.updated_at is None:
        await driver(session).execute(queries.SAVE_POLICY, account_id, policy.subject, 0, *_stored(policy, at=at))
    await driver(session).execute(SAVE_PAUSE, account_id, policy.subject, until, because)
    entry = audit.Entry(
        account_id, "policy.paused", policy.subject, at, details={"until": rfc3339(until), "because": because}
    )
    await audit.write(session, entry)


async def resume(session: AsyncSession, policy: Policy, *, account_id: AccountId) -> None:
    """End a subject's pause."""
    await driver(session).execute(SAVE_PAUSE, account_id, policy.subject, None, None)


def _stored(policy: Policy, *, at: datetime) -> tuple[object, ...]:
    terms: Terms = policy.terms
    return (
        _names(terms.gpu_whitelist),
        terms.max_instances,
        terms.max_gpus,
        terms.max_price_micros_per_hour,
        terms.daily_budget_micros,
        terms.monthly_budget_micros,
        terms.max_duration_seconds,
        _names(terms.allowed_regions),
        _names(terms.allowed_providers),
        terms.min_reliability_ppm,
        terms.on_budget_exceeded,
        policy.time_zone,
        at,
        "system",
    )


def _names(names: tuple[str, ...] | None) -> str | None:
    return None if names is None else json.dumps(list(names))
