"""Fetching: what a cloud's books say of a machine that is gone, asked again while they lag."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from app.costs.models import MachineCostRow
from app.kit.db import driver
from app.kit.leases import fenced
from app.kit.reconcile import Round
from app.providers import Provider, ProviderError, RealisedCost
from app.rentals import Tools
from app.rentals.placing.sweeping import lease_name

_PAUSE_FIRST: Final = timedelta(minutes=5)
_PAUSE_MAX: Final = timedelta(hours=4)

_DUE: Final = """
SELECT provider, machine_id FROM machine_costs
WHERE state = 'open' AND provider = ANY($1) AND next_at <= $2 ORDER BY next_at LIMIT $3
"""
_TOLD: Final = """
UPDATE machine_costs SET micros = $4, exact = $5, asked_at = $6, tries = tries + 1, last_error = NULL,
    state = CASE WHEN $7::timestamptz IS NULL THEN 'final' ELSE 'open' END, next_at = $7
WHERE provider = $1 AND machine_id = $2 AND ended_at = $3 AND state = 'open'
"""
_FAILED: Final = """
UPDATE machine_costs SET tries = tries + 1, last_error = $4, next_at = $5
WHERE provider = $1 AND machine_id = $2 AND ended_at = $3 AND state = 'open'
"""


class Due(NamedTuple):
    """A machine whose cost is to be asked for."""

    provider: str
    machine_id: str


async def find(tools: Tools, this: Round, limit: int) -> Sequence[Due]:
    """Return what is due at the clouds that this worker holds."""
    mine = [name for name in sorted(tools.providers) if this.holding.holds(lease_name(name))]
    async with tools.db.begin_unscoped() as session:
        rows = await driver(session).fetch(_DUE, mine, this.at, limit)
    return [Due(row["provider"], row["machine_id"]) for row in rows]


async def step(tools: Tools, this: Round, due: Due) -> str:
    """Ask for one machine's cost and write down what is told. A cloud that does not answer is asked again."""
    async with tools.db.begin_unscoped() as session:
        row = await session.get(MachineCostRow, due)
    if row is None or row.state != "open":
        return "moved_on"
    provider = tools.providers[row.provider]
    try:
        cost = await _ask(provider, row)
    except ProviderError as error:
        await _failed(tools, this, row, error)
        return type(error).__name__
    # A cloud that can only be estimated will never say more.
    final = cost.exact or provider.capability.realised_cost == "estimate"
    next_at = None if final else this.at + _pause(row.tries)
    async with tools.db.begin_unscoped() as session:
        await _fence(session, this, row)
        told = (cost.micros, cost.exact, this.at, next_at)
        await driver(session).execute(_TOLD, row.provider, row.machine_id, row.ended_at, *told)
    return "exact" if cost.exact else "estimated" if final else "not_booked_yet"


async def _ask(provider: Provider, row: MachineCostRow) -> RealisedCost:
    """Books are asked from the machine's very beginning; without books only what ran is counted."""
    by_price = provider.capability.realised_cost == "estimate"
    return await provider.realised_cost(
        row.machine_id,
        start=row.ran_from if by_price else row.began_at,
        end=row.ended_at,
        price_micros_per_hour=row.price,
    )


async def _failed(tools: Tools, this: Round, row: MachineCostRow, error: ProviderError) -> None:
    next_at: datetime = this.at + _pause(row.tries)
    async with tools.db.begin_unscoped() as session:
        await _fence(session, this, row)
        told = (f"{type(error).__name__}: {error.message}"[:200], next_at)
        await driver(session).execute(_FAILED, row.provider, row.machine_id, row.ended_at, *told)


async def _fence(session: AsyncSession, this: Round, row: MachineCostRow) -> None:
    await fenced(session, this.holding, [lease_name(row.provider)])


def _pause(tries: int) -> timedelta:
    return min(_PAUSE_MAX, _PAUSE_FIRST * (1 << min(tries, 10)))
