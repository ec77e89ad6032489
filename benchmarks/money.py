"""One wallet movement: through our code, by its SQL alone, and beside a ledger with three rows per transfer.

The ledger with three rows is built like pgledger, in words of our own: one PL/pgSQL call locks two accounts, changes
both balances and versions, and writes the transfer and two entries under ids made in the database, with NUMERIC
amounts. On one hot account it was measured beside pgledger itself: the same within a tenth of the processor's time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg

from app import ledger
from app.kit.db import Database
from app.kit.ids import AccountId, TransferId
from app.kit.rls import API
from app.kit.schema import role_url
from app.ledger import Kind, Movement
from app.ledger.queries import POST_ONE
from benchmarks import report
from benchmarks.ground import SECRET, SQL, Ground, opened
from benchmarks.report import Row

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WALLETS = 10_000
CLIENTS = (1, 8, 32)
HOT_CLIENTS = 8
_MOVEMENTS = 400
_FIRST = 1_000_000_000_000_000_000

# The statement's parameters as pgbench knows them: a wallet reserves five micro-dollars.
_BOUND = (
    *(":account", ":minus", ":plus", ":zero", ":key", ":id", ":kind", ":debit", ":credit", ":plus", ":at", "NULL"),
    *(":actor", ":actor", "NULL", "NULL", "NULL", "NULL", "NULL"),
)
_DEFINED = {
    "minus": "-5",
    "plus": "5",
    "zero": "0",
    "kind": "reserve",
    "debit": "available",
    "credit": "reserved",
    "at": "2026-03-01 12:00:00+00",
    "actor": "bench",
    "left": "0",
}


@dataclass(frozen=True)
class Budget:
    """How long to measure."""

    rounds: int
    seconds: int


async def measure(ground: Ground, budget: Budget) -> list[Row]:
    """Return the rows of this part."""
    url = await ground.new_database("money")
    await ground.execute(url, _wallets("'acct_0' || lpad(n::text, 25, '0')"), _wallets(f"({_FIRST} + n)::text"))
    await ground.execute(url, "VACUUM ANALYZE wallets", "CHECKPOINT")
    rows = [await _through_our_code(url, budget), *await _by_sql_alone(ground, url, budget)]
    await ground.drop_database(url)
    return rows


def account(number: int) -> AccountId:
    """Return the id of one of the wallets."""
    return AccountId(f"acct_0{number:025d}")


async def rate_of(step: Callable[[int], Awaitable[object]], times: int = _MOVEMENTS) -> float:
    """Return how often per second one client takes a step, one after the other."""
    began = time.perf_counter()
    for number in range(times):
        await step(number)
    return times / (time.perf_counter() - began)


def mover(db: Database) -> Callable[[int], Awaitable[object]]:
    """Return the step that moves money as the API does: one transaction, one statement."""

    async def move(number: int) -> None:
        account_id = account(1 + number % WALLETS)
        async with db.begin(account_id) as session:
            movement = Movement(
                account_id=account_id, kind=Kind.RESERVE, amount=5, idempotency_key=uuid4().hex, at=AT, actor="bench"
            )
            await ledger.post(session, movement)

    return move


async def _through_our_code(url: str, budget: Budget) -> Row:
    bare = await asyncpg.connect(role_url(url, API, secret=SECRET.encode()))

    async def move_bare(number: int) -> None:
        account_id = account(1 + number % WALLETS)
        await bare.execute(f"BEGIN; SET LOCAL app.account_id = '{account_id}'")
        values = (account_id, -5, 5, 0, uuid4().hex, TransferId.new(), "reserve", "available", "reserved", 5, AT)
        await bare.fetchrow(POST_ONE, *values, None, "bench", "", None, None, None, None, None)
        await bare.execute("COMMIT")

    ours: list[float] = []
    base: list[float] = []
    async with opened(url, API, pool_size=1) as db:
        move = mover(db)
        for _ in range(2 * budget.rounds + 1):
            base.append(await rate_of(move_bare))
            ours.append(await rate_of(move))
    await bare.close()
    ratio = report.of(ours[1:], base[1:])
    return Row(
        "movement through our code ÷ the same SQL by bare asyncpg",
        ratio,
        0.7,
        said=report.rates(("ours", ours), ("bare", base)),
    )


async def _by_sql_alone(ground: Ground, url: str, budget: Budget) -> list[Row]:
    yardstick = await ground.new_database("yardstick", migrated=False)
    three_rows = await ground.new_database("three_rows", migrated=False)
    await ground.pgbench(yardstick, "-i", "-q", "-s", "10")
    statements = (SQL / "three_rows.sql").read_text().rsplit("VACUUM", 1)
    await ground.execute(three_rows, statements[0], f"VACUUM{statements[1]}")
    scripts = _written(ground.home)
    timed = ("-n", "-M", "prepared", "-T", str(budget.seconds), "-j", "2")
    defined = [part for name, value in _DEFINED.items() for part in ("-D", f"{name}={value}")]

    async def run_ours(script: str, clients: int) -> float:
        return await ground.pgbench(url, *timed, *defined, "-c", str(clients), "-f", str(scripts[script]), role=API)

    rows = []
    for clients in CLIENTS:
        ours: list[float] = []
        base: list[float] = []
        for _ in range(budget.rounds):
            base.append(await ground.pgbench(yardstick, *timed, "-c", str(clients), "-b", "simple-update"))
            ours.append(await run_ours("spread", clients))
        said = report.rates(("movement", ours), ("simple-update", base))
        rows.append(
            Row(f"movement's SQL ÷ pgbench simple-update, {clients} clients", report.of(ours, base), 1.5, said=said)
        )
    hot: list[float] = []
    general: list[float] = []
    for _ in range(budget.rounds):
        general.append(
            await ground.pgbench(three_rows, *timed, "-c", str(HOT_CLIENTS), "-f", str(scripts["three_rows"]))
        )
        hot.append(await run_ours("hot", HOT_CLIENTS))
    said = report.rates(("movement", hot), ("three rows", general))
    what = f"one hot wallet ÷ a ledger with three rows per transfer, {HOT_CLIENTS} clients"
    rows.append(Row(what, report.of(hot, general), 5, said=said))
    await ground.drop_database(yardstick)
    await ground.drop_database(three_rows)
    return rows


def _written(home: Path) -> dict[str, Path]:
    """Write the scripts.

    A client keeps its account for a hundred movements: what is measured is the statement under row-level security.
    """
    statement = re.sub(r"\$(\d+)", lambda found: _BOUND[int(found[1]) - 1], POST_ONE).strip()
    fresh = "\\set key random(1, 9000000000000000000)\n\\set id random(1, 9000000000000000000)\n"
    texts = {
        "spread": f"{_naming(f'{_FIRST} + random(1, {WALLETS})')}{fresh}{statement};\n",
        "hot": f"{_naming(f'{_FIRST} + 1')}{fresh}{statement};\n",
        "three_rows": (SQL / "three_rows_transfer.sql").read_text(),
    }
    scripts = {}
    for name, text in texts.items():
        scripts[name] = home / f"{name}.sql"
        scripts[name].write_text(text)
    return scripts


def _naming(account: str) -> str:
    lines = (
        "\\if :left = 0",
        f"\\set account {account}",
        "SELECT set_config('app.account_id', :account, false);",
        "\\set left 100",
        "\\endif",
        "\\set left :left - 1",
    )
    return "\n".join(lines) + "\n"


def _wallets(account_id: str) -> str:
    return f"""
        INSERT INTO wallets (account_id, bucket, available, reserved, owed, seq, alert_below, created_at)
        SELECT {account_id}, n % 64, 1000000000000000, 0, 0, 0, 0, now() FROM generate_series(1, {WALLETS}) n
    """
