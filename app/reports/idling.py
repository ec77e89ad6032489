"""Idle waste: which GPUs were paid for and did nothing, for how long, and what that cost. Estimated from samples."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import driver
from app.reports import queries
from app.reports.spending import Days, Sight


@dataclass(frozen=True, slots=True)
class GpuIdle:
    """One GPU of a rental, by its index on the machine."""

    gpu: int
    watched_seconds: int
    """For how long there are samples."""
    idle_seconds: int
    percent_seconds: int

    @property
    def mean_percent(self) -> int:
        """How busy it was on average, in whole percent."""
        return (self.percent_seconds + self.watched_seconds // 2) // max(1, self.watched_seconds)


@dataclass(frozen=True, slots=True)
class RentalIdle:
    """One rental's GPUs."""

    rental_id: str
    name: str | None
    status: str
    family: str | None
    team_id: str | None
    user_id: str | None
    rate: int
    cost: int
    """Idle seconds at the rate by GPU, in micro-dollars."""
    sampled_at: datetime
    gpus: tuple[GpuIdle, ...]


@dataclass(frozen=True, slots=True)
class Idleness:
    """Rentals, those whose idleness cost most first, and the sums of all, shown or not."""

    rentals: tuple[RentalIdle, ...]
    count: int
    watched_gpu_seconds: int
    idle_gpu_seconds: int
    cost: int


async def sum_idleness(session: AsyncSession, sight: Sight, days: Days, *, limit: int = 100) -> Idleness:
    """Return what was idle in some days of UTC."""
    rows = await driver(session).fetch(queries.SUM_IDLE, *sight.bounds(days), limit)
    if not rows:
        return Idleness((), 0, 0, 0, 0)
    first = rows[0]
    return Idleness(
        tuple(map(_rental, rows)),
        first["rentals"],
        first["all_seconds"],
        first["all_idle_seconds"],
        first["all_cost"],
    )


def _rental(row: asyncpg.Record) -> RentalIdle:
    columns = zip(row["gpus"], row["gpu_seconds"], row["gpu_idle_seconds"], row["gpu_percent_seconds"], strict=True)
    return RentalIdle(
        rental_id=row["rental_id"],
        name=row["name"],
        status=row["status"],
        family=row["family"],
        team_id=row["team_id"],
        user_id=row["user_id"],
        rate=row["rate"],
        cost=row["cost"],
        sampled_at=row["sampled_at"],
        gpus=tuple(GpuIdle(*column) for column in columns),
    )
