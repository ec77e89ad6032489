"""What a request's transaction costs with every policy asked, against the same without any: both by turns, in one run."""

from __future__ import annotations

import random
import secrets
import statistics
import time
from dataclasses import dataclass
from datetime import datetime

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
from app.web.principal import SpendLimit
from benchmarks import market
from benchmarks.ground import Ground, opened
from benchmarks.money import Budget
from benchmarks.report import Row

_CLOCK = SystemClock()
_FUNDS = 10**12
_ACCOUNTS = 10
_OPEN_EACH = 20
"""What is open on an account when its requests are measured."""
_ASKED = 100
_VAULT = Vault(b"bench")
_WANTED = Wanted(families=("rtx-4090",))
_COUNT = policies.COUNT_RENTAL.format("$1, $2, $3, $4, $5, $6, $7, $8")
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
    """Writing the row that counts a rental, which is a part of the check and done in both."""

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
    what = "a request's transaction under the account's, team's, person's and key's policies ÷ without the check"
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
        rules = policies.Rules(spender, (), ())
        if is_checked:
            rules = await policies.terms_for(session, spender)
        wanted = policies.narrow(rules.policies, _WANTED)
        bare = policies.Spender(spender.account_id, spender.team_id, spender.user_id, spender.key_id)
        rules = rules if is_checked else policies.Rules(bare, (), ())
        await request(
            session,
            Ask(wanted=wanted, launch=BUILT_IN[DEFAULT_TEMPLATE], rules=rules),
            account_id=spender.account_id,
            rental_id=rental_id,
            quoted=None,
            vault=_VAULT,
            actor="bench",
            at=at,
        )
    return time.perf_counter() - began


async def _count(api: Database, spender: policies.Spender) -> float:
    """Return how long the row takes that counts a rental."""
    values = (spender.account_id, RentalId.new(), spender.team_id, spender.key_id, spender.user_id, "rtx-4090", 1)
    async with api.begin(spender.account_id) as session:
        began = time.perf_counter()
        await driver(session).execute(_COUNT, *values, _CLOCK.now())
        return time.perf_counter() - began


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
