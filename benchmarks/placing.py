"""From a rental that is asked for to the call that creates its machine: a worker at rest, and one with a slow cloud."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncssh

from app import catalog, tenancy, wallet
from app.kit.clock import SystemClock
from app.kit.db import Database
from app.kit.ids import AccountId, RentalId
from app.kit.rls import API, WORKER
from app.kit.vault import Vault
from app.providers import LambdaProvider, Provider, VastProvider, WireOptions
from app.rentals import PlatformKey, Tools
from app.rentals.asking.asking import Ask
from app.rentals.asking.launching import BUILT_IN, DEFAULT_TEMPLATE
from app.rentals.asking.requesting import request
from app.rentals.errors import NoMatchingListings
from app.rentals.reconcilers import placing
from app.sandbox import Fault, Sandbox, SandboxConfig
from app.worker import Worker, lease_names
from benchmarks.ground import Ground, opened
from benchmarks.money import Budget
from benchmarks.report import Row

_CLOCK = SystemClock()
_BOUND_MS = 150
_ROUNDS = 20
_FUNDS = 10**12
_FAMILIES = ("rtx-4090", "rtx-3090", "a100-80gb", "h100-80gb")


async def measure(ground: Ground, budget: Budget) -> list[Row]:
    """Return the rows of this part."""
    at_rest: list[float] = []
    for number in range(budget.rounds):  # each on a whole market
        url = await ground.new_database(f"rested_{number}")
        at_rest += await _delays(url, rounds=_ROUNDS, slow=False)
        await ground.drop_database(url)
    url = await ground.new_database("slowed")
    beside = await _delays(url, rounds=_ROUNDS, slow=True)
    await ground.drop_database(url)
    return [
        Row("asked for → create call, p95, at rest", _p95(at_rest), _BOUND_MS, is_ceiling=True, unit=" ms", said=_said(at_rest)),
        Row("the same at Lambda while Vast answers after 20 s", _p95(beside), 2 * _BOUND_MS, is_ceiling=True, unit=" ms", said=_said(beside)),
    ]  # fmt: skip


async def _delays(url: str, *, rounds: int, slow: bool) -> list[float]:
    async with opened(url, WORKER) as db, opened(url, API) as api, _clouds(db) as (sandbox, tools):
        account = await _account(db)
        for provider in tools.providers.values():
            await catalog.refresh_provider(db, provider, at=_CLOCK.now())
        worker = Worker(db, tools.clock, [placing(tools)], lease_names(tools))
        working = asyncio.create_task(worker.run())
        await asyncio.sleep(1)
        if slow:
            sandbox.faults.add(Fault("slow", operation="create", provider="vast", times=None, seconds=20))
            for _ in range(12):
                await _ask(api, account, "vast")
        delays = [await _delay(sandbox, api, account, "lambda" if slow else None) for _ in range(rounds)]
        worker.finish_seconds = 0.1
        worker.stop()
        await working
        return [delay for delay in delays if delay is not None]


async def _delay(sandbox: Sandbox, api: Database, account: AccountId, cloud: str | None) -> float | None:
    """Ask once; return the milliseconds until the cloud was called, None where it had nothing left."""
    await asyncio.sleep(random.uniform(0.05, 0.25))
    asked = _CLOCK.now()
    try:
        rental_id = await _ask(api, account, cloud)
    except NoMatchingListings:
        return None
    for _ in range(200):
        await asyncio.sleep(0.005)
        for truth in reversed(sandbox.truth):
            if rental_id in (truth.marker or ""):
                return (truth.created_at - asked).total_seconds() * 1000
    return None


async def _ask(api: Database, account: AccountId, cloud: str | None) -> RentalId:
    wanted = catalog.Wanted(
        families=None if cloud else (random.choice(_FAMILIES),),
        gpu_count=None,
        providers=(cloud,) if cloud else None,
    )
    ask, rental_id = Ask(wanted=wanted, launch=BUILT_IN[DEFAULT_TEMPLATE]), RentalId.new()
    async with api.begin(account) as session:
        await request(
            session, ask, account_id=account, rental_id=rental_id, quoted=None, vault=Vault(b"bench"), actor="bench",
            at=_CLOCK.now(),
        )  # fmt: skip
    return rental_id


async def _account(db: Database) -> AccountId:
    at = _CLOCK.now()
    async with db.begin_unscoped() as session:
        email = f"{secrets.token_hex(8)}@example.com"
        account = (await tenancy.open_account(session, name="Bench", email=email, at=at)).account_id
        await wallet.open_wallet(session, account_id=account, at=at)
        await wallet.credit_adjustment(
            session, account_id=account, amount=_FUNDS, reference="bench", reason="bench", actor="bench", at=at
        )
    return account


@asynccontextmanager
async def _clouds(db: Database) -> AsyncIterator[tuple[Sandbox, Tools]]:
    """Start clouds whose machines never boot: only the way there is measured."""
    sandbox = await Sandbox.start(SandboxConfig(boot_seconds=3600, ssh_port=0, price_step_seconds=0))
    config, options = sandbox.config, WireOptions(pace_factor=0)
    clouds: dict[str, Provider] = {
        "vast": VastProvider(api_key=config.vast_key, base_url=sandbox.url, options=options),
        "lambda": LambdaProvider(
            api_key=config.lambda_key, base_url=sandbox.url, options=options, ssh_port=config.ssh_port
        ),
    }
    key = asyncssh.generate_private_key("ssh-ed25519")
    pair = PlatformKey(key.export_private_key().decode(), key.export_public_key().decode().strip())
    yield sandbox, Tools(db, clouds, pair, Vault(b"bench"), SystemClock(), "benching")
    for cloud in clouds.values():
        await cloud.aclose()
    await sandbox.aclose()


def _p95(delays: Sequence[float]) -> float:
    return sorted(delays)[len(delays) * 95 // 100]


def _said(delays: Sequence[float]) -> str:
    ordered = sorted(delays)
    return f"{len(ordered)} rentals, median {ordered[len(ordered) // 2]:.0f} ms, worst {ordered[-1]:.0f} ms"
