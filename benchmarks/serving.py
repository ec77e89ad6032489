"""The API over HTTP: one uvicorn process, load from another, each route against an empty one of the same application."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from app import ledger, wallet
from app.cli.accounts import make_key, open_account
from app.kit.clock import SystemClock
from app.kit.db import Database
from app.kit.ids import AccountId, RentalId
from app.kit.rls import WORKER
from app.ledger import Kind, Movement
from app.settings import Settings
from benchmarks import market, report
from benchmarks.ground import SECRET, Ground, opened
from benchmarks.load_generator import NewRequest, answers_per_second, request
from benchmarks.money import Budget
from benchmarks.report import Row
from benchmarks.served import EMPTY

_CALLERS = 32
_RUNNING = 100
_TRANSFERS = 5_000
_FUNDS = 10**15
_LIMITLESS = "1000000000"


@dataclass(frozen=True)
class _Route:
    what: str
    target: float
    status: int
    new_request: NewRequest


async def measure(ground: Ground, budget: Budget) -> list[Row]:
    """Return the rows of this part."""
    url = await ground.new_database("serving")
    at = SystemClock().now()
    await market.fill(ground, url, at=at)
    secrets = await _callers(url, ground.settings(url), at)
    await ground.execute(url, "VACUUM ANALYZE", "CHECKPOINT")
    routes = _routes(secrets)
    empty: list[float] = []
    found: dict[str, list[float]] = {route.what: [] for route in routes}
    async with _served(url) as port:
        for _ in range(budget.rounds + 1):
            empty.append(
                await answers_per_second(port, lambda: request("GET", EMPTY), status=200, seconds=budget.seconds)
            )
            for route in routes:
                rate = await answers_per_second(port, route.new_request, status=route.status, seconds=budget.seconds)
                found[route.what].append(rate)
    await ground.drop_database(url)
    return [
        Row(
            f"{route.what} ÷ an empty route",
            report.of(found[route.what][1:], empty[1:]),
            route.target,
            said=report.rates(("answers", found[route.what]), ("empty", empty)),
        )
        for route in routes
    ]


def _routes(secrets: list[str]) -> list[_Route]:
    authorizations = [f"Authorization: Bearer {secret}" for secret in secrets]
    one = authorizations[0]
    wallet_read = request("GET", "/v1/wallet", one)
    ledger_read = request("GET", "/v1/billing/ledger?limit=50", one)
    turns = itertools.cycle(authorizations)

    def rent() -> bytes:
        key = f"Idempotency-Key: {uuid4().hex}"
        return request("POST", "/v1/rentals", next(turns), key, body='{"family":"rtx-4090"}')

    return [
        _Route(f"GET /v1/wallet with {_RUNNING} running rentals", 0.35, 200, lambda: wallet_read),
        _Route("GET /v1/billing/ledger?limit=50", 0.2, 200, lambda: ledger_read),
        _Route("POST /v1/rentals", 0.1, 202, rent),
    ]


async def _callers(url: str, settings: Settings, at: datetime) -> list[str]:
    """Open accounts and return a key of each; on the first, rentals run and the ledger is long."""
    secrets = []
    for number in range(_CALLERS):
        account_id = await open_account(settings, name="bench", email=f"{number}@example.com", micros=_FUNDS)
        secrets.append((await make_key(settings, account_id, name="bench"))[1])
        if number == 0:
            async with opened(url, WORKER) as db:
                await _live(db, account_id, at)
    return secrets


async def _live(db: Database, account_id: AccountId, at: datetime) -> None:
    credits_ = [
        Movement(
            account_id=account_id,
            kind=Kind.ADJUSTMENT_CREDIT,
            amount=1_000_000,
            idempotency_key=f"credit:{number}",
            at=at,
            description="a credit",
        )
        for number in range(_TRANSFERS)
    ]
    async with db.begin_unscoped() as session:
        await ledger.post_many(session, credits_)
        for number in range(_RUNNING):
            rental_id = RentalId.new()
            rate = 400_000 + number
            await wallet.hold(session, account_id=account_id, rental_id=rental_id, rate=rate, at=at, actor="bench")
            started_at = at - timedelta(seconds=number)
            await wallet.start(session, account_id=account_id, rental_id=rental_id, at=started_at)


@asynccontextmanager
async def _served(url: str) -> AsyncIterator[int]:
    """Serve the application in a process of its own; give its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = {"DATABASE_URL": url, "HOURGLASS_SECRET": SECRET, "HOURGLASS_PORT": str(port)}
    limits = ("HOURGLASS_REQUESTS_PER_MINUTE_PER_KEY", "HOURGLASS_REQUESTS_PER_MINUTE_PER_ACCOUNT")
    environment = os.environ | names | dict.fromkeys(limits, _LIMITLESS)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.served"), env=environment, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        await _until_it_answers(process, port)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _until_it_answers(process: Process, port: int) -> None:
    for _ in range(600):
        if process.returncode is not None:
            raise RuntimeError(f"the API ended with status {process.returncode}")
        try:
            await answers_per_second(port, lambda: request("GET", "/readyz"), status=200, seconds=0)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return
    raise TimeoutError("the API does not answer")
