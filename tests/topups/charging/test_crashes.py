"""Stop dead at every suspension point of a top-up, start fresh, run to rest, audit."""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest

from app import refills
from app.kit.db import Database
from app.kit.ids import AccountId
from app.kit.reconcile import Round
from app.ledger import invariants as ledger_invariants
from app.topups import Stripe, TopupTools
from app.topups.charging.charging import step
from app.wallet import invariants as wallet_invariants
from tests.rentals.test_crashes import keep_for_ever, stepped

DOLLAR = 1_000_000
OPENING = 12 * DOLLAR
GOOD, DECLINES, ASKS_ALWAYS = "4242424242424242", "4000000000000341", "4000002760003184"


@dataclass
class Scene:
    """What must have happened before, the operation with the victim's own hands, and how it must end."""

    prepare: Callable[[Any, AccountId], Awaitable[None]]
    operate: Callable[[Any, TopupTools, AccountId], Coroutine[Any, Any, Any]]
    ends: str


@pytest.fixture
async def victim(till: Any, databases: Any) -> AsyncIterator[Callable[[], TopupTools]]:
    """Make the hands of a worker that is about to die: connections and clients of its own."""

    def hands() -> TopupTools:
        tools = replace(
            till.tools,
            db=Database.connect(databases.urls.worker, role="victim", pool_size=4),
            stripe=Stripe(till.sandbox.config.stripe_key, base_url=till.sandbox.url, deployment=till.tools.deployment),
        )
        keep_for_ever(tools)
        return tools

    yield hands
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the dead close no sockets
        gc.collect()


def asked(number: str = GOOD) -> Callable[[Any, AccountId], Awaitable[None]]:
    async def prepare(till: Any, account: AccountId) -> None:
        await saved(till, account, number)
        await till.spend(account, 3)

    return prepare


async def saved(till: Any, account: AccountId, number: str = GOOD) -> None:
    await till.set_rule(account, await till.save_card(account, number))


def lost(number: str = GOOD) -> Callable[[Any, AccountId], Awaitable[None]]:
    """An attempt whose charge was made, or declined, though the answer was lost."""

    async def prepare(till: Any, account: AccountId) -> None:
        await asked(number)(till, account)
        till.fault("timeout_after_success", "create_payment_intent", mode="drop")
        assert await till.charge(account) == Counter(unknown=1)
        till.later(minutes=2)

    return prepare


async def charge(till: Any, tools: TopupTools, account: AccountId) -> None:
    [attempt] = await replace(till, tools=tools).attempts(account)  # the dead keep their own connections only
    due = refills.DueAttempt(account, attempt.id, attempt.bucket)
    await step(tools, Round(till.at, till.holding), due)


async def spend(till: Any, tools: TopupTools, account: AccountId) -> None:
    await replace(till, tools=tools).spend(account, 3)


SCENES = {
    "ask": Scene(saved, spend, "succeeded"),
    "charge": Scene(asked(), charge, "succeeded"),
    "be declined": Scene(asked(DECLINES), charge, "declined"),
    "send for the card's owner": Scene(asked(ASKS_ALWAYS), charge, "action_required"),
    "look for a charge whose answer was lost": Scene(lost(), charge, "succeeded"),
    "look for a decline whose answer was lost": Scene(lost(DECLINES), charge, "declined"),
    "look for a bank's question whose answer was lost": Scene(lost(ASKS_ALWAYS), charge, "action_required"),
}

EVERY = {
    "charge": 13,
    "be declined": 17,
    "send for the card's owner": 17,
    "look for a charge whose answer was lost": 19,
    "look for a decline whose answer was lost": 23,
    "look for a bank's question whose answer was lost": 29,
}
"""Most points lie within one and the same call: one in so many is taken here, all in the soak."""


@pytest.mark.timeout(280)
@pytest.mark.parametrize("name", SCENES)
async def test_dying_at_any_point_charges_once_and_loses_nothing(
    name: str, till: Any, new_account: Any, victim: Any, databases: Any, record_property: Any
) -> None:
    dying = Dying(SCENES[name], till, new_account, victim, databases)
    record_property("crash_points", await dying.everywhere(every=EVERY.get(name, 1)))


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", EVERY)
async def test_dying_at_really_any_point(
    name: str, till: Any, new_account: Any, victim: Any, databases: Any, record_property: Any
) -> None:
    dying = Dying(SCENES[name], till, new_account, victim, databases)
    record_property("crash_points", await dying.everywhere(every=1))


@dataclass
class Dying:
    """One scene, and what is needed to set it again and again."""

    scene: Scene
    till: Any
    new_account: Any
    victim: Callable[[], TopupTools]
    databases: Any

    async def everywhere(self, *, every: int) -> int:
        """Die at points 1, 1 + every, … until the operation comes through alive. Returns how many deaths there were.

        A death that changed nothing leaves the scene as it was set: it is used again.
        """
        deaths, point = 0, 1
        account, before = await self.set()
        while True:
            work = self.scene.operate(self.till, self.victim(), account)
            died, passed = await stepped(work, dies_at=point)
            await bury(self.databases)
            assert await broken(self.till, account) == []
            if not died:
                await self.audit(account)
                assert passed < point
                assert deaths > 1
                return deaths
            deaths, point = deaths + 1, point + every
            if await state_of(self.till, account) != before:
                await self.audit(account)
                account, before = await self.set()

    async def set(self) -> tuple[AccountId, object]:
        """Set the scene for a new account."""
        self.till.sandbox.faults.clear()
        account = await self.new_account(micros=OPENING)
        await self.scene.prepare(self.till, account)
        return account, await state_of(self.till, account)

    async def audit(self, account: AccountId) -> None:
        """Run to rest: one attempt, one payment at Stripe, its money here once, each thing told once."""
        till = self.till
        if not await till.attempts(account):  # the decrease was undone with its maker
            await till.spend(account, 3)
        await till.until_rest(account)
        [attempt] = await till.attempts(account)
        assert attempt.state == self.scene.ends
        [intent] = till.intents(account)
        came_in = sum(row["amount"] for row in await till.rows("transfers", account) if row["kind"] == "auto_topup")
        assert till.charged(account) == came_in == (attempt.amount if self.scene.ends == "succeeded" else 0)
        assert intent["metadata"]["attempt_id"] == attempt.id
        assert Counter(await till.mails(account)) == Counter([f"auto_topup_{attempt.state}"])
        assert Counter(await till.events(account))[f"auto_topup.{attempt.state}"] == 1
        pages = [row for row in await till.rows("checkouts", account) if row["purpose"] == "confirm_topup"]
        assert len(pages) == (1 if self.scene.ends == "action_required" else 0)
        assert await broken(till, account) == []


async def bury(databases: Any) -> None:
    """Cut the victim's sockets."""
    connection = await asyncpg.connect(databases.urls.admin)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hourglass-victim' "
        "AND datname = current_database()"
    )
    await connection.close()


async def broken(till: Any, account: AccountId) -> list[Any]:
    async with till.tools.db.begin_unscoped() as session:
        found = [await room.broken_for(session, [account]) for room in (ledger_invariants, wallet_invariants)]
    return [one for room in found for one in room]


async def state_of(till: Any, account: AccountId) -> object:
    """Return everything that a top-up may change, here and at Stripe."""
    rows = [await till.rows(table, account) for table in ("topup_attempts", "auto_topup_rules", "wallets", "checkouts")]
    return rows, [(one["id"], one["status"]) for one in till.intents(account)]
