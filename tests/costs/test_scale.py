"""A hundred thousand rentals of a month: the room's statements stay set-based, each a matter of seconds."""

from __future__ import annotations

import time
from datetime import timedelta

import asyncpg
import pytest

from app.costs import list_margins, sum_costs
from app.costs.books import _HAD
from app.costs.noting import note_ended
from app.kit.db import driver

COUNT = 100_000
FILL = """
INSERT INTO rentals (account_id, id, bucket, version, tags, created_by, status, wanted, launch, listing, rate, attempts,
                     ssh_keys, keys_version, keys_applied, deadline_at, created_at, running_at, ended_at, settled_at,
                     end_reason, log_offset)
SELECT 'acct_' || n % 500, 'rent_' || n, 0, 1, '{}', 'test', 'stopped', '{}', '{}',
       '{"family": "rtx-4090", "provider": "vast"}', 400000, 1, '[]', 1, 1, b, b, b, b + interval '1 hour',
       b + interval '1 hour', 'user', 0
FROM (SELECT n, $1::timestamptz - n * interval '25 seconds' AS b FROM generate_series(1, $2::int) n) made
"""
ATTEMPTS = """
INSERT INTO attempts (account_id, rental_id, number, bucket, status, provider, offer_id, listing, marker, machine_id,
                      created_at, checking_at, live_at, doomed_at, gone_at, destroy_tries)
SELECT account_id, id, 1, 0, 'gone', 'vast', '1',
       '{"family": "rtx-4090", "price_micros_per_hour": 390000, "all_in_micros_per_hour": 400000}', 'hg-x-' || id, id,
       created_at, created_at, created_at, ended_at, ended_at, 0
FROM rentals
"""


@pytest.mark.soak
async def test_a_month_of_rentals_is_noted_compared_and_summed_in_seconds(stage):
    connection = await asyncpg.connect(stage.databases.urls.admin)
    at = stage.clock.now()
    await connection.execute(FILL, at, COUNT)
    await connection.execute(ATTEMPTS)
    await connection.execute("ANALYZE")
    await connection.close()
    took = {}

    async def timed(name, work):
        began = time.monotonic()
        async with stage.databases.worker.begin_unscoped() as session:
            found = await work(session)
        took[name] = time.monotonic() - began
        return found

    month = timedelta(days=30)
    assert await timed("note", lambda session: note_ended(session, at=at)) > COUNT * 0.98
    assert await timed("note again", lambda session: note_ended(session, at=at)) == 0
    day = await timed(
        "compare a day",
        lambda session: driver(session).fetch(_HAD, "vast", at - timedelta(days=5), at - timedelta(days=4), at),
    )
    assert len(day) > 3_000
    assert len(await timed("margins", lambda session: list_margins(session, since=at - month, until=at, by="account")))
    assert (await timed("costs", lambda session: sum_costs(session, since=at - month, until=at)))[0].open > COUNT * 0.9
    print({name: round(seconds, 2) for name, seconds in took.items()})  # noqa: T201 - what was measured
    assert max(took.values()) < 30, took
    assert took["note again"] < 5, took
