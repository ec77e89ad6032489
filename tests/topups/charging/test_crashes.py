"""Stop dead at every suspension point of a top-up, start fresh, run to rest, audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from app import refills
from app.kit.ids import AccountId
from app.kit.reconcile import Round
from app.topups import TopupTools
from app.topups.charging.charging import step
from tests.topups.dying import Dying, mortal_hands

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
def victim(till: Any, databases: Any) -> Iterator[Callable[[], TopupTools]]:
    sandbox = till.sandbox
    with mortal_hands(
        till.tools, url=databases.urls.worker, stripe_key=sandbox.config.stripe_key, stripe_url=sandbox.url
    ) as hands:
        yield hands


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
    dying = _dying(SCENES[name], till, new_account, victim, databases)
    record_property("crash_points", await dying.everywhere(every=EVERY.get(name, 1)))


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", EVERY)
async def test_dying_at_really_any_point(
    name: str, till: Any, new_account: Any, victim: Any, databases: Any, record_property: Any
) -> None:
    dying = _dying(SCENES[name], till, new_account, victim, databases)
    record_property("crash_points", await dying.everywhere(every=1))


def _dying(scene: Scene, till: Any, new_account: Any, victim: Callable[[], TopupTools], databases: Any) -> Dying:
    async def prepare() -> tuple[AccountId, None]:
        till.sandbox.faults.clear()
        account = await new_account(micros=OPENING)
        await scene.prepare(till, account)
        return account, None

    async def operate(tools: TopupTools, account: AccountId, _given: None) -> None:
        await scene.operate(till, tools, account)

    async def audit(account: AccountId, _given: None) -> None:
        await charged_once(till, account, scene.ends)

    return Dying(prepare, operate, partial(state_of, till), audit, victim, databases)


async def charged_once(till: Any, account: AccountId, ends: str) -> None:
    """Run to rest: one attempt, one payment at Stripe, its money here once, each thing told once."""
    if not await till.attempts(account):  # the decrease was undone with its maker
        await till.spend(account, 3)
    await till.until_rest(account)
    [attempt] = await till.attempts(account)
    assert attempt.state == ends
    [intent] = till.intents(account)
    came_in = sum(row["amount"] for row in await till.rows("transfers", account) if row["kind"] == "auto_topup")
    assert till.charged(account) == came_in == (attempt.amount if ends == "succeeded" else 0)
    assert intent["metadata"]["attempt_id"] == attempt.id
    assert Counter(await till.mails(account)) == Counter([f"auto_topup_{attempt.state}"])
    assert Counter(await till.events(account))[f"auto_topup.{attempt.state}"] == 1
    pages = [row for row in await till.rows("checkouts", account) if row["purpose"] == "confirm_topup"]
    assert len(pages) == (1 if ends == "action_required" else 0)


async def state_of(till: Any, account: AccountId) -> object:
    """Return everything that a top-up may change, here and at Stripe."""
    rows = [await till.rows(table, account) for table in ("topup_attempts", "auto_topup_rules", "wallets", "checkouts")]
    return rows, [(one["id"], one["status"]) for one in till.intents(account)]
