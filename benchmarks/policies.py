"""What the transaction of POST /v1/rentals costs with every policy asked, against the same without: by turns, in one run.

The row that counts a rental is a part of the check and written in both, so what it costs is taken from the time without.
It is written by the rental's own statement: it costs what it takes beyond a round trip.
"""

from __future__ import annotations

import random
import secrets
import statistics
import time
from dataclasses import dataclass, replace
from datetime import datetime
from types import SimpleNamespace

from fastapi import Request
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from app import policies, tenancy, wallet
from app.catalog import Wanted
from app.kit.clock import SystemClock
from app.kit.db import Database, driver
from app.kit.ids import AccountId, ApiKeyId, RentalId, TeamId, UserId
from app.kit.rls import API, WORKER
from app.kit.vault import Vault
from app.rentals.asking.asking import Ask
from app.rentals.asking.launching import BUILT_IN, DEFAULT_TEMPLATE
from app.rentals.asking.requesting import request
from app.rentals.asking.ssh_keys import all_keys
from app.web import Answer, Cursors, Principal, Work, replay_or_run
from app.web.principal import SpendLimit
from benchmarks import market
from benchmarks.ground import Ground, opened
from benchmarks.money import Budget
from benchmarks.report import Row

_CLOCK = SystemClock()
_FUNDS = 10**12
_ACCOUNTS = 50
_OPEN_EACH = 5
"""What is open on an account when its requests are measured."""
_ASKED = 100
_VAULT = Vault(b"bench")
_WANTED = Wanted(families=("rtx-4090",))
_COUNT = policies.COUNT_RENTAL.format("$1, $2, $3, $4, $5, $6, $7, $8")
_NOTHING = "SELECT $1::text"
_TERMS = (
    "gpu_whitelist, max_instances, max_gpus, max_price_micros_per_hour, daily_budget_micros, monthly_budget_micros, "
    "allowed_regions, min_reliability_ppm"
)
_VALUES = (
    """'["rtx-4090"]', 100000, 100000, 10000000, 1000000000000, 1000000000000, '["US", "DE", "SE", "JP"]', 500000"""
)


@dataclass(frozen=True)
class Took:
    """How long each kind of request took, in seconds."""

    checked: list[float]
    unchecked: list[float]
    counted: list[float]
    """Writing the row that counts a rental, beyond a statement that does nothing."""

    @property
    def ratio(self) -> float:
        """Return with the check against without it."""
        return statistics.median(self.checked) / (statistics.median(self.unchecked) - statistics.median(self.counted))


async def measure(ground: Ground, budget: Budget) -> list[Row]:
    """Return the rows of this part."""
    url = await ground.new_database("policies")
    await market.fill(ground, url, at=_CLOCK.now())
    async with opened(url, WORKER) as worker, opened(url, API, pool_size=1) as api:
        spenders = [await _spender(worker) for _ in range(_ACCOUNTS)]
        await _govern(ground, url)
        for spender in spenders * _OPEN_EACH:
            await _ask(api, spender, is_checked=True)
        await ground.execute(url, "ANALYZE")
        rounds = [await _round(api, spenders, seed) for seed in range(budget.rounds)]
    await ground.drop_database(url)
    said = ", ".join(
        f"{name} {statistics.median([value for took in rounds for value in getattr(took, name)]) * 1000:.2f} ms"
        for name in ("checked", "unchecked", "counted")
    )
    what = "the transaction of POST /v1/rentals under the account's, team's, person's and key's policies ÷ without the check"
    return [Row(what, statistics.median(took.ratio for took in rounds), 1.25, is_ceiling=True, said=said)]


async def _round(api: Database, spenders: list[policies.Spender], seed: int) -> Took:
    chance, took = random.Random(seed), Took([], [], [])
    for _ in range(_ASKED):
        order = [True, False]
        chance.shuffle(order)
        for is_checked in order:
            seconds = await _ask(api, chance.choice(spenders), is_checked=is_checked)
            (took.checked if is_checked else took.unchecked).append(seconds)
        took.counted.append(await _count(api, chance.choice(spenders)))
    return took


async def _ask(api: Database, spender: policies.Spender, *, is_checked: bool) -> float:
    at, rental_id = _CLOCK.now(), RentalId.new()
    began = time.perf_counter()
    async with api.begin(spender.account_id) as session:

        async def run() -> Answer:
            rules = policies.Rules(replace(spender, limit=None), (), ())
            if is_checked:
                rules = await policies.terms_for(session, spender)
            await all_keys(session, account_id=spender.account_id)
            wanted = policies.narrow(rules.policies, _WANTED)
            made = await request(
                session,
                Ask(wanted=wanted, launch=BUILT_IN[DEFAULT_TEMPLATE], rules=rules),
                account_id=spender.account_id,
                rental_id=rental_id,
                quoted=None,
                vault=_VAULT,
                actor="bench",
                at=at,
            )
            return Answer(Said(text=made.rental_id))

        await replay_or_run(_work(session, spender, at=at), _asked(rental_id), status=202, run=run)
    return time.perf_counter() - began


def _work(session: AsyncSession, spender: policies.Spender, *, at: datetime) -> Work:
    principal = Principal(spender.account_id, spender.key_id, spender.user_id, frozenset(), live=True, name="bench")
    return Work(session, principal, at, "req_bench", Cursors(b"bench"))


def _asked(rental_id: RentalId) -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b'{"family": "rtx-4090"}'}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/rentals",
        "query_string": b"",
        "server": ("bench", 80),
        "headers": [(b"idempotency-key", rental_id.encode())],
        "route": SimpleNamespace(path="/v1/rentals"),
    }
    return Request(scope, receive)


class Said(BaseModel):
    """An answer."""

    text: str


async def _count(api: Database, spender: policies.Spender) -> float:
    """Return how much longer the row takes that counts a rental than a statement that does nothing."""
    values = (spender.account_id, RentalId.new(), spender.team_id, spender.key_id, spender.user_id, "rtx-4090", 1)
    async with api.begin(spender.account_id) as session:
        began = time.perf_counter()
        await driver(session).fetch(_NOTHING, spender.account_id)
        between = time.perf_counter()
        await driver(session).fetch(_COUNT, *values, _CLOCK.now())
        return time.perf_counter() - between - (between - began)


async def _spender(db: Database) -> policies.Spender:
    at = _CLOCK.now()
    async with db.begin_unscoped() as session:
        email = f"{secrets.token_hex(8)}@example.com"
        account = (await tenancy.open_account(session, name="Bench", email=email, at=at)).account_id
        await wallet.open_wallet(session, account_id=account, at=at)
        await wallet.credit_adjustment(
            session, account_id=account, amount=_FUNDS, reference="bench", reason="bench", actor="bench", at=at
        )
    return await _with_team(db, account, at=at)


async def _with_team(db: Database, account: AccountId, *, at: datetime) -> policies.Spender:
    team = TeamId.new()
    async with db.begin_unscoped() as session:
        await driver(session).execute(
            "INSERT INTO teams (account_id, id, name, time_zone, created_at) VALUES ($1, $2, 'bench', 'UTC', $3)",
            account,
            team,
            at,
        )
    return policies.Spender(account, team, UserId.new(), ApiKeyId.new(), SpendLimit(_FUNDS, "monthly"))


async def _govern(ground: Ground, url: str) -> None:
    """Give every account and team a policy with every limit."""
    rest = "'pause_new', 'UTC', now(), now(), 'bench'"
    columns = (
        f"account_id, subject, version, {_TERMS}, on_budget_exceeded, time_zone, created_at, updated_at, updated_by"
    )
    await ground.execute(
        url,
        f"INSERT INTO policies ({columns}) SELECT account_id, account_id, 1, {_VALUES}, {rest} FROM accounts",
        f"INSERT INTO policies ({columns}) SELECT account_id, id, 1, {_VALUES}, {rest} FROM teams",
    )
