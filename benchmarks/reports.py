"""Reports over a million movements of one account: spending by everything it can be grouped by, and a month's chargeback."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta

from app.kit.db import Database
from app.kit.ids import AccountId
from app.kit.rls import API, WORKER
from app.reports import Grouping, Sight, sum_spending
from app.reports.charging_back import charge_back
from app.reports.counting import count
from app.reports.spending import Days
from app.statements import Month
from benchmarks.ground import Ground, opened
from benchmarks.money import Budget
from benchmarks.report import Row

ROWS = 1_000_000
TAIL = 2_000
"""So many movements are not counted yet while it is measured: what a thousand running rentals make in ten minutes."""
_ACCOUNT = AccountId.parse("acct_" + "0" * 25 + "1")
_RENTALS = 50_000
_PER_RENTAL = ROWS // _RENTALS
_START = datetime(2026, 1, 1, tzinfo=UTC)
_RENTAL = "'rent_' || lpad(n::text, 26, '0')"
_STARTED = f"timestamptz '{_START.isoformat()}' + n * interval '{59 * 86_400 // _RENTALS} seconds'"
_DAYS = Days(date(2026, 1, 1), date(2026, 3, 1))


async def measure(ground: Ground, budget: Budget) -> list[Row]:
    """Return the rows of this part."""
    url = await _loaded(ground)
    async with opened(url, WORKER) as worker, opened(url, API) as api:
        began = time.perf_counter()
        counted = await _count(worker)
        per_second = counted / (time.perf_counter() - began)
        newest = f"UPDATE wallets SET seq = {ROWS}"
        await ground.execute(url, newest, "VACUUM ANALYZE report_spend", "CHECKPOINT")
        rows = [await _timed(f"spending by {by}", _report(api, by), budget) for by in Grouping]
        rows.append(await _timed("a month's chargeback", _chargeback(api), budget))
    await ground.drop_database(url)
    rows.append(Row("movements counted per second", per_second, 5_000, said=f"{counted:,} in all"))
    return rows


def _report(api: Database, by: Grouping) -> Callable[[], Awaitable[None]]:
    async def report() -> None:
        async with api.begin(_ACCOUNT) as session:
            tag = "project" if by is Grouping.TAG else None
            told = await sum_spending(session, Sight(_ACCOUNT, None), _DAYS, by=by, tag=tag)
        assert told.count > 1

    return report


def _chargeback(api: Database) -> Callable[[], Awaitable[None]]:
    async def report() -> None:
        async with api.begin(_ACCOUNT) as session:
            told = await charge_back(session, Sight(_ACCOUNT, None), Month(2026, 2), at=_START + timedelta(days=50))
        assert len(told.parts) > 1

    return report


async def _timed(what: str, report: Callable[[], Awaitable[None]], budget: Budget) -> Row:
    taken = []
    for _ in range(budget.rounds + 1):
        began = time.perf_counter()
        await report()
        taken.append((time.perf_counter() - began) * 1000)
    return Row(
        f"{what}, {ROWS:,} movements of one account, {TAIL:,} of them not counted yet",
        statistics.median(taken[1:]),
        1000,
        is_ceiling=True,
        unit=" ms",
        said=f"slowest {max(taken):,.0f} ms",
    )


async def _count(worker: Database) -> int:
    """Count what the wallet knows of, and return how many movements that were."""
    counted = 0
    while True:
        async with worker.begin_unscoped() as session:
            part = await count(session, [_ACCOUNT], at=_START)
        if not part:
            return counted
        counted += part


async def _loaded(ground: Ground) -> str:
    """Return a database in which one account rented much for two months."""
    url = await ground.new_database("reports")
    whose = "'team_' || lpad((n % 12)::text, 26, '0'), 'key_' || lpad((n % 100)::text, 26, '0'), 'usr_' || lpad((n % 40)::text, 26, '0')"
    listing = "jsonb_build_object('provider', 'cloud-' || n % 5, 'family', 'family-' || n % 9, 'gpu_count', 1)"
    statements = (
        f"""
        INSERT INTO wallets (account_id, bucket, available, reserved, owed, seq, alert_below, created_at)
        VALUES ('{_ACCOUNT}', 1, 1, 0, 0, {ROWS - TAIL}, 0, now())
        """,
        f"""
        INSERT INTO rentals (account_id, id, bucket, version, tags, created_by, team_id, key_id, user_id, status, wanted, launch,
                             listing, rate, attempts, ssh_keys, keys_version, keys_applied, deadline_at, created_at, log_offset)
        SELECT '{_ACCOUNT}', {_RENTAL}, 1, 1, jsonb_build_object('project', 'p' || n % 300), 'bench', {whose}, 'stopped', '{{}}',
               '{{}}', {listing}, 400000, 1, '[]', 0, 0, now(), {_STARTED}, 0
        FROM generate_series(1, {_RENTALS}) n
        """,
        f"""
        INSERT INTO attempts (account_id, rental_id, number, bucket, status, provider, offer_id, listing, marker, machine_id,
                              created_at, destroy_tries)
        SELECT '{_ACCOUNT}', {_RENTAL}, 1, 1, 'gone', 'cloud-' || n % 5, 'offer', {listing}, 'm' || n, 'm' || n, {_STARTED}, 0
        FROM generate_series(1, {_RENTALS}) n
        """,
        f"""
        INSERT INTO rental_runs (account_id, rental_id, number, kind, attempt, rate, began_at, ended_at)
        SELECT '{_ACCOUNT}', {_RENTAL}, 1, 'ran', 1, 400000, {_STARTED}, {_STARTED} + interval '90 minutes'
        FROM generate_series(1, {_RENTALS}) n
        """,
    )
    await ground.execute(url, *statements, _movements(), "VACUUM ANALYZE", "CHECKPOINT")
    return url


def _movements() -> str:
    return f"""
    INSERT INTO transfers (account_id, seq, id, kind, debit, credit, amount, available_after, reserved_after, owed_after,
                           effective_at, rental_id, actor, description, idempotency_key, rate, from_s, to_s)
    SELECT '{_ACCOUNT}', (n - 1) * {_PER_RENTAL} + k + 1, 'led_' || lpad(((n - 1) * {_PER_RENTAL} + k)::text, 26, '0'),
           CASE WHEN k = 0 THEN 'reserve' WHEN k = {_PER_RENTAL - 1} THEN 'release' WHEN k % 2 = 1 THEN 'usage'
                ELSE 'reserve_renew' END,
           CASE WHEN k = {_PER_RENTAL - 1} OR k % 2 = 1 THEN 'reserved' ELSE 'available' END,
           CASE WHEN k = {_PER_RENTAL - 1} THEN 'available' WHEN k % 2 = 1 THEN 'spend' ELSE 'reserved' END,
           66666, 1, 0, 0, {_STARTED} + k * interval '5 minutes', {_RENTAL}, 'bench', '', 'k' || n || '-' || k,
           CASE WHEN k % 2 = 1 THEN 400000 END, CASE WHEN k % 2 = 1 THEN k / 2 * 600 END,
           CASE WHEN k % 2 = 1 THEN (k / 2 + 1) * 600 END
    FROM generate_series(1, {_RENTALS}) n, generate_series(0, {_PER_RENTAL - 1}) k
    """
