from datetime import timedelta

from app.kit.db import driver
from app.kit.leases import Holding
from app.kit.reconcile import Round, Runner
from app.web.reconcilers import pruning


async def test_old_keys_go_and_young_ones_stay(worker_db, api_db, account, at):
    async with api_db.begin(account) as session:
        for key, age in (("old", timedelta(hours=25)), ("young", timedelta(hours=23))):
            await driver(session).execute(
                "INSERT INTO idempotency_keys (account_id, route, key, body_hash, created_at) VALUES ($1, 'x', $2, decode(repeat('00', 32), 'hex'), $3)",
                account,
                key,
                at - age,
            )
    runner = Runner(pruning(worker_db))
    for _ in range(2):
        assert await runner.run_once(Round(at, Holding("nobody", {}))) == {"pruned": 1}
    async with api_db.begin(account) as session:
        kept = await driver(session).fetch("SELECT key FROM idempotency_keys WHERE account_id = $1", account)
    assert [row["key"] for row in kept] == ["young"]


async def test_all_that_is_old_goes_however_much_it_is(worker_db, api_db, account, at):
    async with api_db.begin(account) as session:
        await driver(session).execute(
            "INSERT INTO idempotency_keys (account_id, route, key, body_hash, created_at) "
            "SELECT $1, 'x', n::text, decode(repeat('00', 32), 'hex'), $2 FROM generate_series(1, 2001) AS n",
            account,
            at - timedelta(hours=25),
        )
    assert await Runner(pruning(worker_db)).run_once(Round(at, Holding("nobody", {}))) == {"pruned": 1}
    async with api_db.begin(account) as session:
        assert (
            await driver(session).fetchval("SELECT count(*) FROM idempotency_keys WHERE account_id = $1", account) == 0
        )
