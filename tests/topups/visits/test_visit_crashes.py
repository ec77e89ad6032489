"""Stop dead at every suspension point of a deposit and of a card's life, start fresh, run to rest, audit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from app.kit.errors import NotFound
from app.kit.ids import AccountId
from app.topups.tools import TopupTools
from app.topups.visits.cards import remove_card, sync_cards
from app.topups.visits.checkouts import Purpose, open_checkout
from app.topups.visits.syncing import sync_checkout, sync_session
from tests.topups.dying import Dying, mortal_hands

from .conftest import KEY


@dataclass
class Scene:
    """What must have happened before, the operation with the victim's own hands, and how it is repeated and judged."""

    prepare: Callable[[Any, AccountId], Awaitable[Any]]
    operate: Callable[[Any, TopupTools, AccountId, Any], Coroutine[Any, Any, Any]]
    audit: Callable[[Any, AccountId, Any], Awaitable[None]]


@pytest.fixture
def victim(till: Any, databases: Any) -> Iterator[Callable[[], TopupTools]]:
    with mortal_hands(till.tools, url=databases.urls.api, stripe_key=KEY, stripe_url=till.sandbox.url) as hands:
        yield hands


async def wished(till: Any, account: AccountId) -> Any:
    return till.wish(save_card=True)


async def wish(till: Any, tools: TopupTools, account: AccountId, wanted: Any) -> Any:
    return await open_checkout(tools, wanted, account_id=account, at=till.clock.now())


async def opened_once(till: Any, account: AccountId, wanted: Any) -> None:
    row = (await wish(till, till.tools, account, wanted)).row
    assert row.state == "open"
    assert [one["id"] for one in till.objects("checkout.session", account)] == [row.session_id]
    assert len(till.objects("customer", account)) == 1
    assert len(await till.rows("checkouts", account)) == 1


async def paid(till: Any, account: AccountId) -> Any:
    row = await till.open(account, save_card=True)
    await till.stripe.pay(row.session_id)
    return row


async def card_given(till: Any, account: AccountId) -> Any:
    row = await till.open(account, purpose=Purpose.SAVE_CARD, amount=None, save_card=True)
    await till.stripe.pay(row.session_id)
    return row


async def look(till: Any, tools: TopupTools, account: AccountId, row: Any) -> Any:
    return await sync_checkout(tools, account_id=account, checkout_id=row.id, at=till.clock.now())


async def follow(till: Any, tools: TopupTools, account: AccountId, row: Any) -> Any:
    return await sync_session(tools, row.session_id, at=till.clock.now())


async def credited_once(till: Any, account: AccountId, row: Any) -> None:
    done = await look(till, till.tools, account, row)
    assert done.state == "complete"
    wanted = [] if row.amount is None else [row.amount]
    assert await till.deposits(account) == wanted
    assert await till.available(account) == sum(wanted)
    assert len(await till.rows("payment_methods", account)) == 1
    told = await till.told(account)
    assert told["payment_method.saved"] == 1
    assert told["payment.succeeded"] == len(wanted)


async def card_saved(till: Any, account: AccountId) -> str:
    await look(till, till.tools, account, await card_given(till, account))
    [card] = await till.rows("payment_methods", account)
    return str(card["id"])


async def remove(till: Any, tools: TopupTools, account: AccountId, card: str) -> None:
    await remove_card(tools, card, account_id=account, at=till.clock.now())


async def removed_once(till: Any, account: AccountId, card: str) -> None:
    with suppress(NotFound):
        await remove(till, till.tools, account, card)
    await sync_cards(till.tools, account_id=account, at=till.clock.now())
    [row] = await till.rows("payment_methods", account)
    assert row["detached_at"] is not None
    assert (await till.gateway.get_card(card)).customer_id is None
    assert (await till.told(account))["payment_method.removed"] == 1


SCENES = {
    "open a visit": Scene(wished, wish, opened_once),
    "look at a visit that is paid": Scene(paid, look, credited_once),
    "follow a session that is paid": Scene(paid, follow, credited_once),
    "look at a visit that saved a card": Scene(card_given, look, credited_once),
    "take a card off": Scene(card_saved, remove, removed_once),
}

EVERY = {
    "open a visit": 7,
    "look at a visit that is paid": 9,
    "look at a visit that saved a card": 13,
    "follow a session that is paid": 7,
    "take a card off": 13,
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
@pytest.mark.timeout(3000)
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

    operate, audit = partial(scene.operate, till), partial(scene.audit, till)
    return Dying(prepare, operate, partial(state_of, till), audit, victim, databases)


async def state_of(till: Any, account: AccountId) -> object:
    """Everything that an operation may change, here and at Stripe."""
    tables = ("customers", "checkouts", "payments", "payment_methods", "transfers")
    kinds = ("customer", "checkout.session", "payment_intent")
    ours = [await till.rows(table, account) for table in tables]
    cards = [await till.gateway.get_card(row["id"]) for row in ours[3]]
    return ours, [len(till.objects(kind, account)) for kind in kinds], cards
