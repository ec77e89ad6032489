"""A stage whose clouds share its clock, so that their books are of the same days as ours, and lag by ten minutes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from app.costs.reconcilers import fetching_costs, noting
from app.kit.ids import AccountId
from app.providers import Provider, RunpodProvider
from app.sandbox import Sandbox, SandboxConfig
from tests.providers.contract.conftest import adapter
from tests.rentals.conftest import FAST, HandClock, Stage, on_stage, platform_key
from tests.simulation.paper import Street

__all__ = ["platform_key"]


class SameClock:
    """Tells the stage's time, and waits in real time."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock

    def now(self) -> Any:
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@pytest.fixture
def cloud_names() -> tuple[str, ...]:
    """The clouds on the stage; a scene with others says so by parametrizing this."""
    return ("vast", "lambda")


@pytest.fixture
async def stage(own_databases: Any, platform_key: Any, at: Any, cloud_names: tuple[str, ...]) -> AsyncIterator[Stage]:
    config = SandboxConfig(
        boot_seconds=0.02,
        terminate_seconds=0.02,
        terminated_seconds=0.02,
        ssh_port=0,
        price_step_seconds=0,
        charges_lag_seconds=600,
    )
    clock = HandClock(at)
    street = Street(public_key=platform_key.public)
    sandbox = await Sandbox.start(config, clock=SameClock(clock), start_machine=street.start)
    clouds = {name: _cloud(name, sandbox, clock) for name in cloud_names}
    async with on_stage(own_databases, sandbox, clouds, platform_key, clock, street) as made:
        yield made


def _cloud(name: str, sandbox: Sandbox, clock: HandClock) -> Provider:
    if name == "runpod":  # decides by its clock when books are closed
        key = sandbox.config.runpod_key
        return RunpodProvider(api_key=key, base_url=sandbox.url, options=FAST, clock=clock)
    return adapter(name, sandbox, FAST)


@pytest.fixture
def rich(stage: Stage, new_account: Any) -> Callable[[], Awaitable[AccountId]]:
    """Open an account with $500 on the stage's database."""

    async def opening(micros: int = 500_000_000) -> AccountId:
        account: AccountId = await new_account(micros=micros, db=stage.databases.worker)
        return account

    return opening


@pytest.fixture
def ran(stage: Stage) -> Callable[..., Awaitable[str]]:
    """Return what rents, runs for a while, and stops, to the machine's very end; gives the rental's id."""

    async def running(account: AccountId, *, seconds: int = 1800, **changes: Any) -> str:
        await stage.refresh()
        made = await stage.request(account, **changes)
        await stage.until_status(made.rental_id, "running")
        stage.clock.advance(seconds)
        await stage.stop(account, made.rental_id)
        await stage.until_status(made.rental_id, "stopped")
        await stage.until_rest()
        return made.rental_id

    return running


@pytest.fixture
def known(stage: Stage) -> Callable[[], Awaitable[None]]:
    """Return what notes and fetches every cost there is, once the books have come so far."""

    async def knowing() -> None:
        await stage.run(noting)
        stage.clock.advance(1200)
        await stage.run(fetching_costs)

    return knowing
