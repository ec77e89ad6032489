"""How to die: stop dead at every suspension point of an operation, start fresh, run to rest, audit.

A process that dies is a coroutine that is never resumed: its sockets are cut by the server, its leases run out.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from app import wallet
from app.kit.db import Database
from app.kit.ids import AccountId, RentalId
from app.kit.reconcile import Round
from app.providers import LambdaProvider, VastProvider
from app.rentals import Tools, invariants
from app.rentals.placing import placement


def keep_for_ever(dead: object) -> None:
    """Hold on to the dead: a garbage collector would run their cleanups, and a dead process runs none."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(dead))


class DeadError(Exception):
    """The process has died here."""


class Stepped:
    """Runs a coroutine to its n-th suspension and dies there; counts all of them when it is let through."""

    def __init__(self, work: Coroutine[Any, Any, Any], *, dies_at: int) -> None:
        self.work, self.dies_at, self.points = work, dies_at, 0

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self.work.__await__()
        thrown: BaseException | None = None
        while True:
            hooks = sys.get_asyncgen_hooks()
            sys.set_asyncgen_hooks(None, None)  # the loop must not tidy up after the dead
            try:
                waited_for = inner.throw(thrown) if thrown else inner.send(None)
            except StopIteration as done:
                return done.value
            finally:
                sys.set_asyncgen_hooks(*hooks)
            self.points += 1
            if self.points == self.dies_at:
                keep_for_ever((inner, self.work, waited_for))
                raise DeadError
            try:
                thrown = None
                yield waited_for
            except BaseException as error:  # noqa: BLE001 - passed on to the work itself
                thrown = error


async def stepped(work: Coroutine[Any, Any, Any], *, dies_at: int) -> tuple[bool, int]:
    """Return whether it died, and how many suspension points it passed."""
    steps = Stepped(work, dies_at=dies_at)

    async def living() -> None:
        await steps

    try:
        await asyncio.create_task(living())
    except DeadError:
        return True, steps.points
    except Exception:  # noqa: BLE001 - an operation may also fail
        return False, steps.points
    return False, steps.points


@dataclass
class Scene:
    """One operation: what must have happened before, and the operation with the victim's own hands."""

    prepare: Callable[..., Awaitable[Any]]
    operate: Callable[..., Coroutine[Any, Any, Any]]


@pytest.fixture
async def victim(stage: Any) -> AsyncIterator[Callable[[], Tools]]:
    """Make the hands of a worker that is about to die: connections and clients of its own."""
    made: list[Tools] = []
    url, key = stage.sandbox.url, stage.sandbox.config

    def hands() -> Tools:
        fast = stage.options
        clouds = {
            "vast": VastProvider(api_key=key.vast_key, base_url=url, options=fast),
            "lambda": LambdaProvider(api_key=key.lambda_key, base_url=url, options=fast, ssh_port=key.ssh_port),
        }
        tools = replace(
            stage.tools, db=Database.connect(stage.databases.urls.worker, role="victim", pool_size=4), providers=clouds
        )
        made.append(tools)
        return tools

    yield hands
    for tools in made:
        for cloud in tools.providers.values():
            with suppress(Exception):
                await cloud.aclose()
        keep_for_ever(tools)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the dead close no sockets
        gc.collect()


async def bury(stage: Any, tools: Tools) -> None:
    """Cut the victim's sockets, end its leases, and let another worker take over."""
    connection = await stage.admin()
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hourglass-victim' "
        "AND datname = current_database()"
    )
    await connection.execute("UPDATE leases SET expires_at = now()")
    await connection.execute("DELETE FROM workers")
    keep_for_ever(tools)
    await stage.take_leases("survivor")


async def tidy_market(stage: Any) -> None:
    """Let yesterday's failures be forgotten, and see the market afresh."""
    await (await stage.admin()).execute("DELETE FROM listing_failures")
    await stage.refresh()


async def item(stage: Any, rental_id: str) -> placement.Item:
    rental = await stage.rental(rental_id)
    return placement.Item(rental.account_id, rental.id, rental.bucket)


async def place(stage: Any, tools: Tools, account: AccountId, rental_id: RentalId) -> None:
    await placement.step(tools, Round(stage.clock.now(), stage.holding), await item(stage, rental_id))


async def die_everywhere(scene: Scene, stage: Any, rich: Any, victim: Any, *, every: int) -> int:
    """Die at points 1, 1 + every, … until the operation comes through alive. Returns how many deaths there were.

    A death that changed nothing leaves the scene as it was set: it is used again, with the invariants looked at.
    """
    deaths, point = 0, 1
    account, rental_id, before = await _set(scene, stage, rich)
    while True:
        tools = victim()
        died, passed = await stepped(scene.operate(stage, tools, account, rental_id), dies_at=point)
        await bury(stage, tools)
        assert await broken(stage) == {}
        if not died:
            await audit(stage, account)
            assert passed < point
            return deaths
        deaths, point = deaths + 1, point + every
        if await state_of(stage, account, rental_id) != before:
            await audit(stage, account)
            account, rental_id, before = await _set(scene, stage, rich)


async def _set(scene: Scene, stage: Any, rich: Any) -> tuple[AccountId, RentalId, object]:
    await tidy_market(stage)
    account = await rich()
    rental_id = await scene.prepare(stage, account)
    return account, rental_id, await state_of(stage, account, rental_id)


async def state_of(stage: Any, account: AccountId, rental_id: RentalId) -> object:
    """Return everything about an account's rentals and money that an operation may change, and the machines."""
    connection = await stage.admin()
    queries = (
        "SELECT status, stage, version, next_at FROM rentals WHERE account_id = $1",
        "SELECT status, machine_id FROM attempts WHERE account_id = $1",
        "SELECT seq, available, reserved FROM wallets WHERE account_id = $1",
    )
    rows = [[tuple(row) for row in await connection.fetch(query, account)] for query in queries]
    return rows, sorted((truth.id, truth.ended_at is None) for truth in stage.sandbox.truth)


async def broken(stage: Any) -> dict[str, list[str]]:
    async with stage.databases.worker.begin_unscoped() as session:
        found: dict[str, list[str]] = await invariants.broken(session)
        return found


async def audit(stage: Any, account: AccountId) -> None:
    """Run to rest, stop what runs, run to rest; then nothing is owed, lost, doubled or left behind."""
    await stage.until_rest()
    async with stage.databases.api.begin(account) as session:
        running = await wallet.list_holds(session, account_id=account)
    for hold in running:
        await stage.stop(account, hold.meter.rental_id)
    await stage.until_rest()
    assert stage.alive() == []
    assert await broken(stage) == {}
    balance = await stage.balance(account)
    assert balance.reserved == 0
    spent = await (await stage.admin()).fetchval(
        "SELECT coalesce(sum(charged - refunded), 0)::bigint FROM holds WHERE account_id = $1", account
    )
    assert balance.available + spent == 50_000_000
