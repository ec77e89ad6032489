"""Spot rentals, and what became of them."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from app.catalog import Spot
from app.kit.clock import whole_seconds
from app.rentals.reconcilers import watching
from app.rentals.runs import list_runs
from tests.rentals.test_faults import nothing_is_left

SPOT = {"spot": Spot.ONLY}


async def running_spot(stage: Any, rich: Any, **changes: Any) -> tuple[Any, Any]:
    account = await rich()
    made = await stage.request(account, wanted=SPOT, **changes)
    await stage.until_status(made.rental_id, "running")
    return account, made


async def machine_of(stage: Any, rental_id: str) -> str:
    return (await stage.attempts(rental_id))[-1].machine_id


async def watch_until(stage: Any, rental_id: str, status: str, *, every: float = 30) -> Any:
    for _ in range(12):
        await stage.run(watching)
        if (await stage.rental(rental_id)).status == status:
            return await stage.rental(rental_id)
        stage.clock.advance(every)
    raise AssertionError(f"never {status}")


async def charged(stage: Any, account: Any) -> int:
    return 50_000_000 - (await stage.balance(account)).available


async def ran(stage: Any, account: Any, rental_id: str) -> list[tuple[str, int]]:
    async with stage.databases.api.begin(account) as session:
        runs = await list_runs(session, account_id=account, rental_id=rental_id)
        return [(run.ended_because, whole_seconds(run.began_at, run.ended_at)) for run in runs]


async def events_of(stage: Any, rental_id: str) -> list[str]:
    connection = await asyncpg.connect(stage.databases.urls.admin)
    rows = await connection.fetch("SELECT type FROM events WHERE subject = $1 ORDER BY seq", rental_id)
    await connection.close()
    return [row["type"] for row in rows]


async def end(stage: Any, account: Any, made: Any) -> None:
    """Stop, run to rest, and see that every usable second and no other was charged, to the micro-dollar."""
    await stage.stop(account, made.rental_id)
    await stage.until_rest()
    await nothing_is_left(stage)
    seconds = sum(length for _, length in await ran(stage, account, made.rental_id))
    assert await charged(stage, account) == made.rate * seconds // 3600


async def vanish(stage: Any, rental_id: str) -> None:
    stage.sandbox.accidents.vanish(await machine_of(stage, rental_id))
    await asyncio.sleep(0.1)
