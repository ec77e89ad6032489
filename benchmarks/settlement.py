"""Settling running rentals in sets: against single movements, and whether a million costs more each than ten thousand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app import wallet
from app.kit.db import Database
from app.kit.leases import BUCKETS
from app.kit.rls import API, WORKER
from app.wallet.meter import SETTLE_SECONDS
from app.wallet.reconcilers import BATCH_MAX
from benchmarks import money, report
from benchmarks.ground import Ground, opened
from benchmarks.money import Budget
from benchmarks.report import Row

FEW, MANY = 10_000, 1_000_000
FLEET = 4
"""Rentals per account; a fleet begins in the same second, so an account's rentals are settled together."""
_START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_RATE = 400_000
_FUNDS = 10**12


async def measure(ground: Ground, budget: Budget) -> list[Row]:
    """Return the rows of this part."""
    few = await _loaded(ground, FEW)
    many = None if budget.is_quick else await _loaded(ground, MANY)
    single: list[float] = []
    small: list[float] = []
    large: list[float] = []
    async with opened(few, WORKER) as db, opened(few, API, pool_size=1) as api:
        move = money.mover(api)
        for number in range(budget.rounds + 1):
            single.append(await report.rate_of(move, money.MOVEMENTS))
            small.append(await _settled_per_second(db, number, running=FEW))
            if many is not None:
                async with opened(many, WORKER) as crowded:
                    large.append(await _settled_per_second(crowded, number, running=MANY))
    rows = [
        Row(
            f"rentals settled in batches of {BATCH_MAX:,} ÷ single movements, one client",
            report.of(small[1:], single[1:]),
            5,
            said=report.rates(("settled", small), ("single", single)),
        )
    ]
    if many is not None:
        what = f"cost per settled rental, {MANY:,} running ÷ {FEW:,} running"
        said = report.rates((f"at {FEW:,}", small), (f"at {MANY:,}", large))
        rows.append(Row(what, report.of(small[1:], large[1:]), 1.5, is_ceiling=True, said=said))
        await ground.drop_database(many)
    await ground.drop_database(few)
    return rows


async def _settled_per_second(db: Database, number: int, *, running: int) -> float:
    """Settle ten thousand rentals in the given period, in slots that hold about that many, finding them included."""
    width = SETTLE_SECONDS * FEW // running
    first = number * width % SETTLE_SECONDS
    at = _START + timedelta(seconds=SETTLE_SECONDS * (number + 2))
    began = time.perf_counter()
    async with db.begin_unscoped() as session:
        slots = (first, first + width - 1)
        due = await wallet.find_due(session, at=at, slots=slots, buckets=range(BUCKETS), limit=50_000)
    for start in range(0, len(due), BATCH_MAX):
        await _settle(db, due[start : start + BATCH_MAX], at)
    assert abs(len(due) - FEW) < FEW // 10, len(due)
    return len(due) / (time.perf_counter() - began)


async def _settle(db: Database, due: Sequence[wallet.Due], at: datetime) -> None:
    async def work(session: AsyncSession) -> int:
        return await wallet.settle(session, due, at=at)

    assert await db.run(work) == len(due)


async def _loaded(ground: Ground, running: int) -> str:
    """Return a database in which so many rentals run, each paid an hour ahead and never settled yet."""
    url = await ground.new_database(f"running_{running}")
    accounts = running // FLEET
    account = "'acct_0' || lpad(n::text, 25, '0')"
    start = f"timestamptz '{_START.isoformat()}' + n % {SETTLE_SECONDS} * interval '1 second'"
    statements = (
        f"""
        INSERT INTO wallets (account_id, bucket, available, reserved, owed, seq, alert_below, created_at)
        SELECT {account}, n % {BUCKETS}, {_FUNDS - FLEET * _RATE}, {FLEET * _RATE}, 0, {FLEET + 1}, 0, now()
        FROM generate_series(1, {accounts}) n
        """,
        f"""
        INSERT INTO wallet_alerts (account_id, level, threshold, armed)
        SELECT {account}, level, threshold, true FROM generate_series(1, {accounts}) n,
               (VALUES ('runway_24h', 86400), ('runway_6h', 21600), ('runway_1h', 3600), ('depleted', 0)) l(level, threshold)
        """,
        f"""
        INSERT INTO transfers (account_id, seq, id, kind, debit, credit, amount, available_after, reserved_after,
                               owed_after, effective_at, rental_id, actor, description, idempotency_key)
        SELECT {account}, k + 1, 'led_' || lpad((n * 10 + k)::text, 26, '0'),
               CASE k WHEN 0 THEN 'deposit' ELSE 'reserve' END, CASE k WHEN 0 THEN 'funding' ELSE 'available' END,
               CASE k WHEN 0 THEN 'available' ELSE 'reserved' END, CASE k WHEN 0 THEN {_FUNDS} ELSE {_RATE} END,
               {_FUNDS} - k * {_RATE}, k * {_RATE}, 0, {start},
               CASE WHEN k > 0 THEN 'rent_' || lpad((n * 10 + k)::text, 26, '0') END, 'bench', '', 'key:' || k
        FROM generate_series(1, {accounts}) n, generate_series(0, {FLEET}) k
        """,
        f"""
        INSERT INTO holds (account_id, rental_id, bucket, state, rate, held, charged, refunded, billed_seconds,
                           base_seconds, overrun_seconds, slot, started_at, settled_at, funded_until, created_at)
        SELECT {account}, 'rent_' || lpad((n * 10 + k)::text, 26, '0'), n % {BUCKETS}, 'running', {_RATE}, {_RATE}, 0, 0, 0,
               0, 0, extract(epoch FROM {start})::bigint % {SETTLE_SECONDS}, {start}, {start},
               {start} + interval '1 hour', {start}
        FROM generate_series(1, {accounts}) n, generate_series(1, {FLEET}) k
        """,
    )
    await ground.execute(url, *statements, "VACUUM ANALYZE", "CHECKPOINT")
    return url
