"""The movement's statement by itself: beside pgbench's simple-update, and beside a ledger with three rows per transfer.

That ledger is built like pgledger, in words of our own: one PL/pgSQL call locks two accounts, changes both balances and
versions, and writes the transfer and two entries under ids made in the database, with NUMERIC amounts. On one hot
account it was measured beside pgledger itself on PostgreSQL 18: as fast, within a fiftieth.

The limit told beside both is a bare movement: the same guarded update and insert, without row-level security, a key, a
rental, and what else a row of our ledger says. On one hot row a movement begins when the one before it has been flushed
to disk, in every ledger whose movements are transactions of their own: so the disk bounds the bare one too. Movements
that one statement posts share one flush, and are compared as well.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg

from app import ledger
from app.kit.db import Database
from app.kit.ids import AccountId
from app.kit.rls import API, WORKER
from app.ledger import Kind, Movement
from app.ledger.queries import RESERVE
from benchmarks import report
from benchmarks.ground import SQL, Ground, opened
from benchmarks.report import Row

FIRST = 1_000_000_000_000_000_000
WALLETS = 10_000
CLIENTS = (1, 8, 32)
HOT_CLIENTS = 8
AT_ONCE = 100
_TIMES = 10
_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

# The statement's parameters as pgbench knows them: a wallet reserves five micro-dollars for a rental.
_BOUND = (":account", ":amount", ":key", ":id", ":at", ":key", ":actor")
_DEFINED = {"amount": "5", "at": "2026-03-01 12:00:00+00", "actor": "bench", "left": "0"}

Runner = Callable[[str, int], Awaitable[float]]
"""Runs one of the scripts by so many clients and returns how often per second."""


async def measure(ground: Ground, url: str, *, rounds: int, seconds: int) -> list[Row]:
    """Return the rows of this part; the database has wallets with the ids from FIRST on."""
    yardstick = await ground.new_database("yardstick", migrated=False)
    await ground.pgbench(yardstick, "-i", "-q", "-s", "10")
    three_rows = await ground.new_database("three_rows", migrated=False)
    made = (SQL / "three_rows.sql").read_text().rsplit("VACUUM", 1)
    await ground.execute(three_rows, made[0], f"VACUUM{made[1]}", *_BARE)
    run = _runner(ground, url, yardstick, three_rows, seconds=seconds)
    rows = [await _beside_simple_update(run, clients, rounds) for clients in CLIENTS]
    rows.append(await _hot(run, rounds))
    rows.append(await _at_once(url, three_rows, rounds))
    await ground.drop_database(yardstick)
    await ground.drop_database(three_rows)
    return rows


async def _beside_simple_update(run: Runner, clients: int, rounds: int) -> Row:
    took = await _in_turns(run, ("simple-update", "spread", "bare"), clients, rounds)
    what = f"movement's SQL ÷ pgbench simple-update, {clients} clients"
    ours, base = took["spread"], took["simple-update"]
    said = report.rates(("movement", ours), ("simple-update", base), ("a bare movement", took["bare"]))
    return Row(what, report.of(ours, base), 1.5, said=said)


async def _hot(run: Runner, rounds: int) -> Row:
    took = await _in_turns(run, ("three_rows", "hot", "bare_hot"), HOT_CLIENTS, rounds)
    said = report.rates(
        ("movement", took["hot"]), ("three rows", took["three_rows"]), ("a bare movement", took["bare_hot"])
    )
    what = f"one hot wallet ÷ a ledger with three rows per transfer, {HOT_CLIENTS} clients"
    return Row(what, report.of(took["hot"], took["three_rows"]), 5, said=said)


async def _in_turns(run: Runner, scripts: Sequence[str], clients: int, rounds: int) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {script: [] for script in scripts}
    for _ in range(rounds):
        for script, rates in took.items():
            rates.append(await run(script, clients))
    return took


async def _at_once(url: str, three_rows: str, rounds: int) -> Row:
    """Compare what settling does to one hot wallet with the same ledger's own way to make many transfers in one call."""
    ours: list[float] = []
    base: list[float] = []
    general = await asyncpg.connect(three_rows)
    async with opened(url, WORKER, pool_size=1) as db:
        for _ in range(rounds + 1):
            base.append(AT_ONCE * await report.rate_of(lambda _: general.fetch(_TRANSFERS, AT_ONCE), _TIMES))
            ours.append(AT_ONCE * await report.rate_of(lambda _: _post_at_once(db), _TIMES))
    await general.close()
    what = f"{AT_ONCE} movements of one wallet at once ÷ as many transfers by one call of that ledger"
    return Row(
        what, report.of(ours[1:], base[1:]), 5, said=report.rates(("movements", ours[1:]), ("three rows", base[1:]))
    )


_BARE = (
    """
    CREATE TABLE bare_wallets (
        id INT PRIMARY KEY, available BIGINT NOT NULL, reserved BIGINT NOT NULL, seq BIGINT NOT NULL
    ) WITH (fillfactor = 70)
    """,
    """
    CREATE TABLE bare_transfers (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, wallet INT NOT NULL, amount BIGINT NOT NULL,
        available_after BIGINT NOT NULL, reserved_after BIGINT NOT NULL, created_at TIMESTAMPTZ NOT NULL DEFAULT now()
    )
    """,
    f"INSERT INTO bare_wallets SELECT n, 1000000000000000, 0, 0 FROM generate_series(1, {WALLETS}) n",
    "VACUUM ANALYZE bare_wallets",
)

_BARE_MOVEMENT = """
WITH moved AS (
    UPDATE bare_wallets SET available = available - 5, reserved = reserved + 5, seq = seq + 1
    WHERE id = :wallet AND available >= 5 RETURNING id, available, reserved
)
INSERT INTO bare_transfers (wallet, amount, available_after, reserved_after)
SELECT id, 5, available, reserved FROM moved;
"""

_TRANSFERS = """
SELECT * FROM transfer_all((
    SELECT array_agg(('acct_' || lpad('1', 26, '0'), 'acct_' || lpad((n + 1)::TEXT, 26, '0'), 5)::asked)
    FROM generate_series(1, $1::int) n
), NULL, NULL)
"""


async def _post_at_once(db: Database) -> None:
    hot = AccountId(f"{FIRST + 1}")
    batch = uuid4().hex
    movements = [
        Movement(account_id=hot, kind=Kind.RESERVE, amount=5, idempotency_key=f"{batch}:{n}", at=_AT, actor="bench")
        for n in range(AT_ONCE)
    ]
    async with db.begin_unscoped() as session:
        await ledger.lock_wallets(session, [hot])
        await ledger.post_many(session, movements)


def _runner(ground: Ground, url: str, yardstick: str, three_rows: str, *, seconds: int) -> Runner:
    scripts = _written(ground.home)
    defined = [part for name, value in _DEFINED.items() for part in ("-D", f"{name}={value}")]

    async def run(script: str, clients: int) -> float:
        many = ("-j", "2", "-c", str(clients))
        if script == "simple-update":
            return await ground.rate(yardstick, *many, "-b", script, seconds=seconds)
        if script in {"spread", "hot"}:
            return await ground.rate(url, *many, *defined, "-f", str(scripts[script]), seconds=seconds, role=API)
        return await ground.rate(three_rows, *many, "-f", str(scripts[script]), seconds=seconds)

    return run


def _written(home: Path) -> dict[str, Path]:
    """Write the scripts.

    A client keeps its account for a hundred movements: what is measured is the statement under row-level security.
    """
    statement = re.sub(r"\$(\d+)", lambda found: _BOUND[int(found[1]) - 1], RESERVE).strip()
    fresh = "\\set key random(1, 9000000000000000000)\n\\set id random(1, 9000000000000000000)\n"
    texts = {
        "spread": f"{_naming(f'{FIRST} + random(1, {WALLETS})')}{fresh}{statement};\n",
        "hot": f"{_naming(f'{FIRST} + 1')}{fresh}{statement};\n",
        "three_rows": (SQL / "three_rows_transfer.sql").read_text(),
        "bare": f"\\set wallet random(1, {WALLETS})\n{_BARE_MOVEMENT}",
        "bare_hot": f"\\set wallet 1\n{_BARE_MOVEMENT}",
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
