"""Prices that were kept before there were partitions are kept on, there and back."""

from __future__ import annotations

import asyncio

import asyncpg

from app.kit.schema import downgrade, prepare
from tests.conftest import SECRET

BEFORE = "202611210603_topups"
ROWS = [
    ("rtx-4090", "vast", "us", False, month, 1, 2, 3, 4)
    for month in ("2026-01-31 23:00+00", "2026-02-01 00:00+00", "2026-04-15 12:00+00")
]


async def _run(url, statement, *values):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(statement, *values)
    finally:
        await connection.close()


async def test_prices_go_into_partitions_and_back(fresh_databases):
    for database in (fresh_databases.api, fresh_databases.worker, fresh_databases.auth):
        await database.aclose()
    url = fresh_databases.urls.admin
    await asyncio.to_thread(downgrade, url, BEFORE)
    values = ", ".join(f"('{f}', '{p}', '{r}', {s}, '{h}', {a}, {b}, {c}, {n})" for f, p, r, s, h, a, b, c, n in ROWS)
    await _run(url, f"INSERT INTO price_history VALUES {values}")
    await _run(url, "INSERT INTO machine_health VALUES ('vast', 'rtx-4090', false, 3, 1000000, 60, NULL)")
    before = await _run(url, "SELECT * FROM price_history ORDER BY hour")
    await prepare(url, secret=SECRET)
    assert await _run(url, "SELECT * FROM price_history ORDER BY hour") == before
    parts = await _run(url, "SELECT DISTINCT tableoid::regclass::text AS name FROM price_history ORDER BY 1")
    assert [row["name"] for row in parts] == [f"price_months.m2026_0{month}" for month in (1, 2, 4)]
    await asyncio.to_thread(downgrade, url, BEFORE)
    assert await _run(url, "SELECT * FROM price_history ORDER BY hour") == before
    await prepare(url, secret=SECRET)
