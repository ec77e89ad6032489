"""The cheapest match among a hundred thousand listings: one statement, and how long the database takes for it."""

from __future__ import annotations

import json
import random
import statistics
import time
from datetime import datetime

import asyncpg

from app.catalog import Wanted
from app.catalog.listing import Spot
from app.catalog.matching import cheapest_statement
from app.kit.clock import SystemClock
from app.kit.rls import API
from app.kit.schema import role_url
from benchmarks import market
from benchmarks.ground import SECRET, Ground
from benchmarks.money import Budget
from benchmarks.report import Row

_ASKED = 1_000
_GENERIC_AFTER = 5
"""After so many runs PostgreSQL may keep one plan for a prepared statement."""


async def measure(ground: Ground, budget: Budget) -> list[Row]:
    """Return the rows of this part."""
    at = SystemClock().now()
    url = await ground.new_database("matching")
    await market.fill(ground, url, at=at)
    connection = await asyncpg.connect(role_url(url, API, secret=SECRET.encode()), statement_cache_size=512)
    for wanted in _wishes() * (_GENERIC_AFTER + 1):
        statement, values = cheapest_statement(wanted, at=at, limit=1)
        await connection.fetch(statement, *values)
    rounds = [await _timed(connection, at, seed) for seed in range(budget.rounds)]
    told = [await _told(connection, at, seed) for seed in range(budget.rounds)]
    await connection.close()
    await ground.drop_database(url)
    p50, p99 = (statistics.median(round_[n] for round_ in rounds) for n in (0, 1))
    told_p99 = statistics.median(told)
    what = f"cheapest among {market.LISTINGS:,} listings, p99 of the statement's round trip less an empty one"
    return [
        Row(what, p99, 2, is_ceiling=True, unit=" ms", said=f"p50 {p50:.2f} ms"),
        Row("… p99 as the database itself tells (EXPLAIN ANALYZE)", told_p99, 2, is_ceiling=True, unit=" ms"),
    ]


def _wishes() -> list[Wanted]:
    """Return what people ask for: mostly a popular family, at times with conditions."""
    return [
        Wanted(families=("rtx-4090",)),
        Wanted(families=("h100-80gb",), gpu_count=8),
        Wanted(families=("a100-80gb",), disk_gb=500),
        Wanted(families=("rtx-3090",), spot=Spot.PREFER),
        Wanted(families=("rtx-4090",), regions=("DE",), min_reliability_ppm=990_000),
        Wanted(families=("rtx-4090", "rtx-3090"), min_cpu=16, min_ram_gb=64, max_price_micros_per_hour=2_000_000),
    ]


async def _timed(connection: asyncpg.Connection, at: datetime, seed: int) -> tuple[float, float]:
    """Return p50 and p99 in milliseconds."""
    chance = random.Random(seed)
    wishes = _wishes()
    empty = []
    for _ in range(200):
        began = time.perf_counter()
        await connection.fetch("SELECT 1")
        empty.append(time.perf_counter() - began)
    taken = []
    for _ in range(_ASKED):
        statement, values = cheapest_statement(chance.choice(wishes), at=at, limit=1)
        began = time.perf_counter()
        rows = await connection.fetch(statement, *values)
        taken.append(time.perf_counter() - began)
        assert len(rows) == 1
    less = statistics.median(empty)
    cuts = statistics.quantiles(taken, n=100)
    return (cuts[49] - less) * 1000, (cuts[98] - less) * 1000


async def _told(connection: asyncpg.Connection, at: datetime, seed: int) -> float:
    """Return the p99 of the execution time in milliseconds, planning left out as for a prepared statement."""
    chance = random.Random(seed)
    taken: list[float] = []
    for _ in range(_ASKED // 2):
        statement, values = cheapest_statement(chance.choice(_wishes()), at=at, limit=1)
        plan = await connection.fetchval(
            f"EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF, FORMAT JSON) {statement}", *values
        )
        taken.append(json.loads(plan)[0]["Execution Time"])
    return statistics.quantiles(taken, n=100)[98]
