"""Cards here are those that Stripe has, whatever is told in which order."""

from __future__ import annotations

import asyncio

import pytest

from app.kit.errors import NotFound
from app.topups.customers import ensure_customer
from app.topups.gateway.errors import GatewayError
from app.topups.visits.cards import remove_card, sync_card, sync_cards, sync_setup
from app.topups.visits.checkouts import Purpose


@pytest.fixture
async def customer(till, account):
    return await ensure_customer(till.tools, account_id=account, at=till.clock.now())


async def cards(till, account):
    return {row["id"]: row for row in await till.rows("payment_methods", account)}


async def test_many_at_once_have_one_customer(till, account) -> None:
    asking = [ensure_customer(till.tools, account_id=account, at=till.clock.now()) for _ in range(6)]
    found = {one for one in await asyncio.gather(*asking, return_exceptions=True) if isinstance(one, str)}
    assert found == {await ensure_customer(till.tools, account_id=account, at=till.clock.now())}
    assert [one["id"] for one in till.objects("customer", account)] == list(found)


async def test_a_customer_that_got_lost_long_ago_is_found(till, account) -> None:
    till.fault("timeout_after_success", "create_customer", mode="drop")
    with pytest.raises(GatewayError):
        await ensure_customer(till.tools, account_id=account, at=till.clock.now())
    later = till.clock.move(hours=30)  # Stripe has forgotten the key
    found = await ensure_customer(till.tools, account_id=account, at=later)
    assert [one["id"] for one in till.objects("customer", account)] == [found]


async def test_a_card_told_of_by_an_event_is_saved_and_changed_and_gone(till, account, customer) -> None:
    method = till.stripe.add_card(customer)["id"]
    assert await sync_card(till.tools, method, at=till.clock.now()) == account
    assert (await cards(till, account))[method]["last4"] == "4242"
    till.stripe.renew_card(method, exp_month=1, exp_year=2039)
    assert await sync_card(till.tools, method, at=till.clock.now()) == account
    card = (await cards(till, account))[method]
    assert (card["exp_month"], card["exp_year"]) == (1, 2039)
    till.stripe.detach_card(method)  # the event that tells of it names no customer any more
    assert await sync_card(till.tools, method, at=till.clock.now()) == account
    assert (await cards(till, account))[method]["detached_at"] == till.clock.now()
    told = await till.told(account)
    assert (told["payment_method.saved"], told["payment_method.removed"]) == (1, 1)


async def test_a_setup_told_of_by_an_event_saves_its_card(till, account) -> None:
    row = await till.open(account, purpose=Purpose.SAVE_CARD, amount=None, save_card=True)
    session = await till.stripe.pay(row.session_id)
    assert await sync_setup(till.tools, session["setup_intent"], at=till.clock.now()) == account
    assert len(await cards(till, account)) == 1


async def test_cards_of_nobody_here_are_left_alone(till, gateway) -> None:
    stranger = await gateway.create_customer(account_id="acct_elsewhere", email="eve@example.com", name="")
    method = till.stripe.add_card(stranger)["id"]
    assert await sync_card(till.tools, method, at=till.clock.now()) is None
    assert await sync_card(till.tools, "pm_nothing", at=till.clock.now()) is None
    assert await sync_setup(till.tools, "seti_nothing", at=till.clock.now()) is None


async def test_an_old_list_takes_off_no_new_card_and_brings_back_no_old_one(till, account, customer) -> None:
    from app.topups.visits.cards import _converge, _Seen

    old = till.stripe.add_card(customer)["id"]
    await sync_cards(till.tools, account_id=account, at=till.clock.now())
    before = tuple(await till.gateway.list_cards(customer))
    await remove_card(till.tools, old, account_id=account, at=till.clock.now())
    new = till.stripe.add_card(customer, "5555555555554444")["id"]
    await sync_cards(till.tools, account_id=account, at=till.clock.now())
    await till.tools.db.run(lambda session: _converge(session, _Seen(account, before, ()), at=till.clock.now()))
    found = await cards(till, account)
    assert found[old]["detached_at"] is not None
    assert found[new]["detached_at"] is None


async def test_a_card_goes_once_however_often_it_is_asked(till, account, customer) -> None:
    method = till.stripe.add_card(customer)["id"]
    await sync_cards(till.tools, account_id=account, at=till.clock.now())
    asking = [remove_card(till.tools, method, account_id=account, at=till.clock.now()) for _ in range(4)]
    ended = await asyncio.gather(*asking, return_exceptions=True)
    assert [one for one in ended if one is not None and not isinstance(one, NotFound | GatewayError)] == []
    assert (await till.told(account))["payment_method.removed"] == 1


async def test_a_card_removed_while_its_answer_got_lost_is_seen_as_gone_by_the_next_look(
    till, account, customer
) -> None:
    method = till.stripe.add_card(customer)["id"]
    await sync_cards(till.tools, account_id=account, at=till.clock.now())
    till.fault("timeout_after_success", "detach_payment_method", mode="drop")
    with pytest.raises(GatewayError):
        await remove_card(till.tools, method, account_id=account, at=till.clock.now())
    await sync_cards(till.tools, account_id=account, at=till.clock.now())
    assert (await cards(till, account))[method]["detached_at"] is not None
