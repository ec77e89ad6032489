"""Stop dead at every suspension point of what moves card money, start fresh, run to rest, audit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from app.kit.ids import AccountId
from app.sandbox import Fault
from app.topups.models import RefundRow
from app.topups.payments.applying import apply_payment
from app.topups.payments.rows import HELD
from app.topups.tools import TopupTools
from tests.topups.dying import Dying, mortal_hands


@dataclass
class Scene:
    """What must have happened before, and the operation with the victim's own hands."""

    prepare: Callable[[Any, AccountId], Awaitable[Any]]
    operate: Callable[[Any, TopupTools, AccountId, Any], Coroutine[Any, Any, Any]]


@pytest.fixture
def victim(till: Any, databases: Any) -> Iterator[Callable[[], TopupTools]]:
    sandbox = till.sandbox
    with mortal_hands(
        till.tools, url=databases.urls.worker, stripe_key=sandbox.config.stripe_key, stripe_url=sandbox.url
    ) as hands:
        yield hands


async def paid(till: Any, account: AccountId) -> str:
    return await till.pay(account)


async def asked(till: Any, account: AccountId) -> RefundRow:
    return await till.ask(account, await till.deposit(account), 10)


async def lost(till: Any, account: AccountId) -> RefundRow:
    """A refund that was made, though its answer was lost."""
    row = await asked(till, account)
    till.sandbox.faults.add(Fault("timeout_after_success", operation="stripe.create_refund", mode="drop"))
    assert await till.step(row) == "unknown"
    till.later(minutes=2)
    return row


async def refunded_elsewhere(till: Any, account: AccountId) -> RefundRow:
    """A refund that Stripe will refuse."""
    row = await asked(till, account)
    [payment] = await till.payments(account)
    till.bank.refund(payment.payment_intent_id)
    return row


async def failed_afterwards(till: Any, account: AccountId) -> str:
    payment = await till.deposit(account)
    await till.refund(account, payment, 10)
    [made] = [one for one in till.bank.truth().refunds if one["payment_intent"] == payment.payment_intent_id]
    till.bank.settle_refund(made["id"], ok=False)
    return payment.payment_intent_id


async def disputed(till: Any, account: AccountId) -> str:
    payment = await till.deposit(account)
    await till.spend(account, 20)
    till.bank.dispute(payment.payment_intent_id)
    return payment.payment_intent_id


async def apply(till: Any, tools: TopupTools, account: AccountId, intent: str) -> None:
    await apply_payment(tools, intent, at=till.at)


async def ask(till: Any, tools: TopupTools, account: AccountId, intent: str) -> None:
    [payment] = await till.payments(account)
    await replace(till, tools=tools).ask(account, payment, 10)


async def step(till: Any, tools: TopupTools, account: AccountId, row: RefundRow) -> None:
    await till.step(row, tools)


async def deposited(till: Any, account: AccountId) -> str:
    return (await till.deposit(account)).payment_intent_id


SCENES = {
    "credit": Scene(paid, apply),
    "ask for a refund": Scene(deposited, ask),
    "make a refund": Scene(asked, step),
    "look for a refund whose answer was lost": Scene(lost, step),
    "release a refund that is refused": Scene(refunded_elsewhere, step),
    "give back a refund that failed": Scene(failed_afterwards, apply),
    "take a dispute after the money was spent": Scene(disputed, apply),
}


EVERY = {
    "credit": 5,
    "ask for a refund": 5,
    "make a refund": 17,
    "look for a refund whose answer was lost": 23,
    "release a refund that is refused": 29,
    "give back a refund that failed": 11,
    "take a dispute after the money was spent": 11,
}
"""Most points lie within one and the same call: one in so many is taken here, all in the soak."""


@pytest.mark.timeout(280)
@pytest.mark.parametrize("name", SCENES)
async def test_dying_at_any_point_loses_and_doubles_nothing(
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
    async def prepare() -> tuple[AccountId, Any]:
        account = await new_account()
        return account, await scene.prepare(till, account)

    async def settled(account: AccountId, _given: Any) -> None:
        await audit(till, account)

    return Dying(prepare, partial(scene.operate, till), partial(state_of, till), settled, victim, databases)


async def state_of(till: Any, account: AccountId) -> object:
    """Everything that an operation may change."""
    refunds = [(row.id, row.status, row.tries, row.next_at) for row in await till.refunds(account)]
    payments = [(row.id, row.status, row.credited, row.refunded, row.disputed) for row in await till.payments(account)]
    stripes = [one for one in till.bank.truth().payments if one.metadata.get("account_id") == account]
    return refunds, payments, await till.transfers(account), stripes


async def audit(till: Any, account: AccountId) -> None:
    """Run to rest; then the wallet has what Stripe has kept less what was spent, and nothing was made twice."""
    for _ in range(4):
        till.later(hours=2)
        for row in await till.refunds(account):
            if row.status in HELD:
                await till.step(row)
        for one in till.bank.truth().payments:
            if one.metadata.get("account_id") == account:
                await till.apply(one.id)
    assert not [row for row in await till.refunds(account) if row.status in HELD]
    made = [one["metadata"]["refund_id"] for one in till.bank.truth().refunds if "refund_id" in one["metadata"]]
    assert len(made) == len(set(made))
    transfers = await till.transfers(account)
    spent = sum(amount for kind, amount, _ in transfers if kind == "usage")
    balance = await till.balance(account)
    assert balance.total - balance.owed == await till.worth(account) - round(spent * 1_000_000)
    events = await till.events(account)
    assert len([one for one in events if one == "payment.succeeded"]) == 1
    assert await till.broken(account) == []
