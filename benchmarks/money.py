"""One wallet movement, the reserve of a new rental: through our code, and by its SQL alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from app import ledger
from app.kit.db import Database
from app.kit.ids import AccountId, RentalId, TransferId
from app.kit.rls import API
from app.kit.schema import role_url
from app.ledger.queries import RESERVE
from benchmarks import report, statements
from benchmarks.ground import SECRET, Ground, opened
from benchmarks.report import Row

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MOVEMENTS = 400


@dataclass(frozen=True)
class Budget:
    """How long to measure."""

    rounds: int
    seconds: int
    is_quick: bool = False
    """Whether what takes minutes is left out."""


async def measure(ground: Ground, budget: Budget) -> list[Row]:
    """Return the rows of this part."""
    url = await ground.new_database("money")
    named = ("'acct_0' || lpad(n::text, 25, '0')", f"({statements.FIRST} + n)::text")
    await ground.execute(url, *map(_wallets, named), "VACUUM ANALYZE wallets", "CHECKPOINT")
    rows = [
        await _through_our_code(url, budget),
        *await statements.measure(ground, url, rounds=budget.rounds, seconds=budget.seconds),
    ]
    await ground.drop_database(url)
    return rows


def account(number: int) -> AccountId:
    """Return the id of one of the wallets."""
    return AccountId(f"acct_0{number:025d}")


def mover(db: Database) -> Callable[[int], Awaitable[object]]:
    """Return the step that moves money as the API does: one transaction, one statement."""

    async def move(number: int) -> None:
        account_id = account(1 + number % statements.WALLETS)
        async with db.begin(account_id) as session:
            await ledger.reserve(
                session, account_id=account_id, rental_id=RentalId.new(), amount=5, at=AT, actor="bench"
            )

    return move


async def _through_our_code(url: str, budget: Budget) -> Row:
    bare = await asyncpg.connect(role_url(url, API, secret=SECRET.encode()))

    async def move_bare(number: int) -> None:
        account_id = account(1 + number % statements.WALLETS)
        await bare.execute(f"BEGIN; SET LOCAL app.account_id = '{account_id}'")
        rental_id = RentalId.new()
        await bare.fetchrow(RESERVE, account_id, 5, f"reserve:{rental_id}", TransferId.new(), AT, rental_id, "bench")
        await bare.execute("COMMIT")

    ours: list[float] = []
    base: list[float] = []
    async with opened(url, API, pool_size=1) as db:
        move = mover(db)
        for _ in range(2 * budget.rounds + 1):
            base.append(await report.rate_of(move_bare, MOVEMENTS))
            ours.append(await report.rate_of(move, MOVEMENTS))
    await bare.close()
    ratio = report.of(ours[1:], base[1:])
    return Row(
        "movement through our code ÷ the same SQL by bare asyncpg",
        ratio,
        0.7,
        said=report.rates(("ours", ours), ("bare", base)),
    )


def _wallets(account_id: str) -> str:
    return f"""
        INSERT INTO wallets (account_id, bucket, available, reserved, owed, seq, alert_below, created_at)
        SELECT {account_id}, n % 64, 1000000000000000, 0, 0, 0, 0, now() FROM generate_series(1, {statements.WALLETS}) n
    """
