"""Everything there is, streamed: memory grows with neither the rows nor the reader's patience."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from app.kit.db import driver

from .reading import URL

LEDGER = "/v1/billing/ledger"
FEW = 5_000
GROWTH_MAX = 24 << 20

# Half the rows bring money, half of them are the usage of a rental each; all lie within one month.
SEED = """
INSERT INTO transfers (account_id, seq, id, kind, debit, credit, amount, available_after, reserved_after, owed_after,
                       effective_at, rental_id, actor, description, idempotency_key, rate, from_s, to_s)
SELECT $1, n, 'led_' || lpad(n::text, 26, '0'), CASE n % 2 WHEN 0 THEN 'usage' ELSE 'deposit' END,
       CASE n % 2 WHEN 0 THEN 'reserved' ELSE 'funding' END, CASE n % 2 WHEN 0 THEN 'spend' ELSE 'available' END,
       1, n, $3 - n, 0, $4::timestamptz + n * interval '1 millisecond',
       CASE n % 2 WHEN 0 THEN 'rent_' || lpad(n::text, 26, '0') END, 'system', 'a line of a usual length', 'k:' || n,
       CASE n % 2 WHEN 0 THEN 3600 END, CASE n % 2 WHEN 0 THEN 0 END, CASE n % 2 WHEN 0 THEN 1 END
FROM generate_series($2::bigint, $3::bigint) AS n
"""


@dataclass
class Serving:
    """A server in a process of its own."""

    url: str
    process: psutil.Process

    @property
    def memory(self):
        return self.process.memory_info().rss


@pytest.fixture
async def serving(database_urls, at):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("serving.py")),
        database_urls.api,
        database_urls.auth,
        at.replace(day=20).isoformat(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
    )
    port = int(await process.stdout.readline())
    yield Serving(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
    process.stdin.close()
    await process.wait()
    process._transport.close()


@pytest.fixture
def seed(worker_db, new_account, at):
    async def seeding(rows):
        account = await new_account(audited=False)
        for first in range(1, rows + 1, 100_000):
            async with worker_db.begin_unscoped() as session:
                last = min(rows, first + 99_999)
                await driver(session).execute(SEED.replace("$3 - n", f"{rows} - n"), account, first, last, at)
        return account

    return seeding


@dataclass
class Streamed:
    """What came, and by how much the server had grown while it did."""

    bytes: int
    newlines: int
    rentals: int
    first: bytes
    last: bytes
    growth: int


async def stream(serving, secret, path, *, accept, pauses=()):
    """Read a stream without keeping it; ``pauses`` are the chunks after which the reader rests for a while."""
    headers = {"Authorization": f"Bearer {secret}", "Accept": accept}
    size = newlines = rentals = chunks = growth = 0
    first = last = b""
    before = serving.memory
    async with (
        httpx.AsyncClient(timeout=60) as client,
        client.stream("GET", serving.url + path, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        async for chunk in answer.aiter_raw():
            size, newlines, chunks = size + len(chunk), newlines + chunk.count(b"\n"), chunks + 1
            rentals += (last[-10:] + chunk).count(b'"rental_id"')
            first, last = first or chunk, (last + chunk)[-1_000:]
            if chunks in pauses:
                await asyncio.sleep(1)
            growth = max(growth, serving.memory - before)
    return Streamed(size, newlines, rentals, first, last, growth)


async def warm_up(serving, secret):
    """Let everything be imported, connected and prepared once."""
    for path, accept in ((LEDGER, "text/csv"), (LEDGER, "application/jsonl"), (f"{URL}/2026-03", "text/csv"), (f"{URL}/2026-03", "*/*")):  # fmt: skip
        await stream(serving, secret, path, accept=accept)


async def export_in_bounded_memory(serving, seed, key_of, rows):
    await warm_up(serving, await key_of(await seed(FEW)))
    secret = await key_of(await seed(rows))
    lines = await stream(serving, secret, LEDGER, accept="application/jsonl", pauses=(3, 50))
    assert (lines.newlines, lines.rentals) == (rows, rows * 2)
    assert json.loads(lines.first.partition(b"\n")[0])["seq"] == rows
    assert json.loads(lines.last.splitlines()[-1])["seq"] == 1
    table = await stream(serving, secret, LEDGER, accept="text/csv")
    assert table.newlines == rows + 1
    assert table.last.splitlines()[-1].split(b",")[1] == b"1"
    statement = await stream(serving, secret, f"{URL}/2026-03", accept="*/*", pauses=(3,))
    assert statement.rentals == rows // 2
    assert statement.last.endswith(b'"net":"0.000001"}]}')
    sections = await stream(serving, secret, f"{URL}/2026-03", accept="text/csv")
    assert sections.newlines > rows // 2
    grown = {
        name: streamed.growth >> 20
        for name, streamed in {"lines": lines, "table": table, "statement": statement, "sections": sections}.items()
        if streamed.growth > GROWTH_MAX
    }
    assert grown == {}
    assert lines.bytes > rows * 400


@pytest.mark.timeout(120)
async def test_a_long_ledger_is_exported_in_bounded_memory(serving, seed, key_of):
    await export_in_bounded_memory(serving, seed, key_of, 60_000)


@pytest.mark.soak
async def test_a_million_movements_are_exported_in_bounded_memory(serving, seed, key_of):
    await export_in_bounded_memory(serving, seed, key_of, 1_000_000)
