"""A stage for rentals: a database of its own, two sandbox clouds with real SSH machines, and a clock that tests move."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import asyncssh
import pytest
from sqlalchemy import select

from app import catalog, wallet
from app.kit.ids import AccountId, RentalId
from app.kit.leases import BUCKETS, Holding, bucket_name, hold_share
from app.kit.reconcile import Reconciler, Round, Runner
from app.kit.vault import Vault
from app.providers import LambdaProvider, VastProvider, WireOptions
from app.rentals import Limits, PlatformKey, Tools
from app.rentals.asking.asking import Ask
from app.rentals.asking.launching import BUILT_IN, DEFAULT_TEMPLATE
from app.rentals.asking.requesting import Requested, request
from app.rentals.keeping import stopping
from app.rentals.models import AttemptRow, RentalRow
from app.rentals.reconcilers import (
    checkpointing,
    destroying_machines,
    ending,
    hibernation,
    placing,
    sweeps,
    visits,
    watching,
)
from app.sandbox import Sandbox, SandboxConfig
from app.sandbox.hosts import start_host
from tests.rentals.dying import victim
from tests.simulation.paper import Street

FAST = WireOptions(connect_seconds=2, first_byte_seconds=2, total_seconds=4, pace_factor=0)
LIMITS = Limits(
    create_seconds=3, boot_seconds=60, check_seconds=30, poll_seconds=0.05, unfound_seconds=40, orphan_seconds=20
)


@dataclass
class HandClock:
    """Stands still until it is moved."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Stage:
    """Everything a scene about rentals needs."""

    databases: Any
    sandbox: Sandbox
    tools: Tools
    clock: HandClock
    options: WireOptions = FAST
    holding: Holding = field(default_factory=lambda: Holding("", {}))
    runners: dict[str, Runner] = field(default_factory=dict)
    _admin: asyncpg.Connection | None = None

    @property
    def names(self) -> list[str]:
        return [*(bucket_name(n) for n in range(BUCKETS)), *(f"provider:{name}" for name in self.tools.providers)]

    async def take_leases(self, owner: str = "worker-1") -> Holding:
        self.holding = await hold_share(self.databases.worker, owner, self.names)
        return self.holding

    async def refresh(self) -> None:
        async with self.databases.worker.begin_unscoped() as session:
            await catalog.register_providers(session, [p.capability for p in self.tools.providers.values()])
        for provider in self.tools.providers.values():
            result = await catalog.refresh_provider(self.databases.worker, provider, at=self.clock.now())
            assert result.status == "refreshed", result

    async def run(self, make: Callable[[Tools], Reconciler]) -> Counter[str]:
        """Run one reconciler once."""
        reconciler = make(self.tools)
        runner = self.runners.setdefault(reconciler.name, Runner(reconciler))
        return await runner.run_once(Round(self.clock.now(), self.holding))

    async def until(self, done: Callable[[], Awaitable[bool]], *, rounds: int = 200) -> None:
        """Run placement, destroying and ending, a second of product time a round, until something is so."""
        for _ in range(rounds):
            if await done():
                return
            await self.run(placing)
            await self.run(destroying_machines)
            await self.run(ending)
            await self.run(checkpointing)
            await self.run(hibernation)
            self.clock.advance(1)
            await asyncio.sleep(0.02)
        raise AssertionError("it did not come about")

    async def until_status(self, rental_id: str, *statuses: str) -> RentalRow:
        async def reached() -> bool:
            return (await self.rental(rental_id)).status in statuses

        await self.until(reached)
        return await self.rental(rental_id)

    async def until_rest(self) -> None:
        """Run until nothing is under way: every machine gone, live or off, every rental at rest."""

        async def rested() -> bool:
            async with self.databases.worker.begin_unscoped() as session:
                moving = await session.scalars(
                    select(RentalRow.id).where(
                        RentalRow.status.in_(["provisioning", "interrupted", "hibernating", "stopping"])
                    )
                )
                doomed = await session.scalars(
                    select(AttemptRow.marker).where(AttemptRow.status.not_in(["gone", "live", "hibernated"]))
                )
                return not moving.all() and not doomed.all()

        await self.until(rested)

    async def request(self, account: AccountId, *, family: str = "rtx-4090", **changes: Any) -> Requested:
        wanted = catalog.Wanted(families=(family,), **changes.pop("wanted", {}))
        ask = Ask(wanted=wanted, launch=replace(BUILT_IN[DEFAULT_TEMPLATE], **changes.pop("launch", {})), **changes)
        async with self.databases.api.begin(account) as session:
            return await request(
                session,
                ask,
                account_id=account,
                rental_id=RentalId.new(),
                quoted=None,
                vault=self.tools.vault,
                actor="test",
                at=self.clock.now(),
            )

    async def stop(self, account: AccountId, rental_id: RentalId) -> RentalRow:
        async with self.databases.api.begin(account) as session:
            return await stopping.stop(
                session, account_id=account, rental_id=rental_id, reason="user", actor="test", at=self.clock.now()
            )

    async def rental(self, rental_id: str) -> RentalRow:
        async with self.databases.worker.begin_unscoped() as session:
            return (await session.scalars(select(RentalRow).where(RentalRow.id == rental_id))).one()

    async def attempts(self, rental_id: str) -> list[AttemptRow]:
        async with self.databases.worker.begin_unscoped() as session:
            rows = await session.scalars(
                select(AttemptRow).where(AttemptRow.rental_id == rental_id).order_by(AttemptRow.number)
            )
            return list(rows)

    async def balance(self, account: AccountId) -> wallet.Balance:
        async with self.databases.api.begin(account) as session:
            return await wallet.get_balance(session, account_id=account, at=self.clock.now())

    async def admin(self) -> asyncpg.Connection:
        """The one connection of the database's administrator."""
        self._admin = self._admin or await asyncpg.connect(self.databases.urls.admin)
        return self._admin

    async def aclose(self) -> None:
        """End the clouds and all that talks to them."""
        for cloud in self.tools.providers.values():
            await cloud.aclose()
        await self.sandbox.aclose()
        if self._admin:
            await self._admin.close()

    def alive(self) -> list[Any]:
        """The machines that cost money right now, by the sandbox's own books."""
        return [truth for truth in self.sandbox.truth if truth.ended_at is None]


@pytest.fixture(scope="session")
def platform_key() -> PlatformKey:
    key = asyncssh.generate_private_key("ssh-ed25519", comment="platform")
    return PlatformKey(key.export_private_key().decode(), key.export_public_key().decode().strip())


@pytest.fixture
def real_machines() -> None:
    """Let the stage's machines be SSH servers and processes: a scene that is about these asks for it, a soak has them."""


@pytest.fixture
async def stage(
    request: pytest.FixtureRequest, own_databases: Any, platform_key: PlatformKey, at: datetime
) -> AsyncIterator[Stage]:
    """A stage with machines on paper, for all but those who ask for real ones."""
    real = "real_machines" in request.fixturenames or request.node.get_closest_marker("soak")
    street = None if real else Street(public_key=platform_key.public)
    async with _stage(own_databases, platform_key, at, street) as made:
        yield made


@pytest.fixture
def rich(stage: Stage, new_account: Any) -> Callable[[], Awaitable[AccountId]]:
    """Open an account with $50 on the stage's database."""

    async def opening(micros: int = 50_000_000) -> AccountId:
        account: AccountId = await new_account(micros=micros, db=stage.databases.worker)
        return account

    return opening


@asynccontextmanager
async def _stage(databases: Any, key: PlatformKey, at: datetime, street: Street | None) -> AsyncIterator[Stage]:
    config = SandboxConfig(
        boot_seconds=0.05, terminate_seconds=0.05, terminated_seconds=0.05, ssh_port=0, price_step_seconds=0
    )
    sandbox = await Sandbox.start(config, start_machine=street.start if street else start_host)
    clouds = {
        "vast": VastProvider(api_key=config.vast_key, base_url=sandbox.url, options=FAST),
        "lambda": LambdaProvider(
            api_key=config.lambda_key, base_url=sandbox.url, options=FAST, ssh_port=sandbox.config.ssh_port
        ),
    }
    async with on_stage(databases, sandbox, clouds, key, HandClock(at), street) as stage:
        yield stage


@asynccontextmanager
async def on_stage(
    databases: Any, sandbox: Sandbox, clouds: dict[str, Any], key: PlatformKey, clock: HandClock, street: Street | None
) -> AsyncIterator[Stage]:
    """A worker's tools before some clouds, whose listings are there; without a street its shells are real ones."""
    tools = Tools(databases.worker, clouds, key, Vault(b"test"), clock, "testtest", LIMITS)
    if street:
        tools = replace(tools, open_shell=street.open_shell_of(at_once))
    stage = Stage(databases, sandbox, tools, clock)
    await stage.take_leases()
    await stage.refresh()
    yield stage
    await stage.aclose()


async def at_once(seconds: float) -> None:
    """Take no time, where a machine on paper takes some."""
    del seconds
    await asyncio.sleep(0)


__all__ = ["Stage", "sweeps", "victim", "visits", "watching"]
