"""Rentals that were there before stretches were kept have them after the upgrade."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import asyncpg

from app.kit.schema import downgrade, upgrade

RENTAL = """
INSERT INTO rentals (account_id, id, bucket, version, tags, created_by, status, wanted, launch, listing, rate, attempts,
    ssh_keys, keys_version, keys_applied, deadline_at, created_at, running_at, ended_at, end_reason, failure, log_offset)
VALUES ('acct_1', $1, 0, 1, '{}', 'test', $2, '{}', '{}', '{}', 360, 2, '[]', 1, 1, $3, $3, $4, $5, $6, $7, 0)
"""
ATTEMPT = """
INSERT INTO attempts (account_id, rental_id, number, bucket, status, provider, offer_id, listing, marker, machine_id,
    created_at, live_at, destroy_tries) VALUES ('acct_1', $1, $2, 0, $3, 'vast', '1', '{}', 'm', 'm', $4, $5, 0)
"""


async def test_what_runs_and_what_ran_gets_its_stretch(fresh_databases: Any, at: Any) -> None:
    for database in (fresh_databases.api, fresh_databases.worker, fresh_databases.auth):
        await database.aclose()
    admin, end = fresh_databases.urls.admin, at + timedelta(seconds=90, milliseconds=700)
    await asyncio.to_thread(downgrade, admin, "202611210701_wallet_rates")
    connection = await asyncpg.connect(admin)
    lost = json.dumps({"reason": "host_lost"})
    for row in (
        ("runs", "running", at, at, None, None, None),
        ("ran", "stopped", at, at, end, "user", None),
        ("lost", "failed", at, at, end, None, lost),
        ("never", "stopped", at, None, end, "user", None),
    ):
        await connection.execute(RENTAL, *row)
        await connection.execute(ATTEMPT, row[0], 1, "gone", at, None)
        await connection.execute(ATTEMPT, row[0], 2, "live" if row[0] == "runs" else "gone", at, row[3])

    await asyncio.to_thread(upgrade, admin)

    runs = await connection.fetch(
        "SELECT rental_id, attempt, rate, began_at, ended_at, ended_because FROM rental_runs ORDER BY rental_id"
    )
    assert [tuple(run) for run in runs] == [
        ("lost", 2, 360, at, end, "host_lost"),
        ("ran", 2, 360, at, end, "user"),
        ("runs", 2, 360, at, None, None),
    ]
    rows = await connection.fetch("SELECT id, run_since, ran_seconds FROM rentals ORDER BY id")
    assert [tuple(row) for row in rows] == [("lost", None, 90), ("never", None, 0), ("ran", None, 90), ("runs", at, 0)]
    await connection.close()
