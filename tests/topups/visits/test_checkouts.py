"""Visits: one session and one customer for one wish, whatever gets lost; and what follows from what Stripe says."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.kit.db import driver
from app.kit.ids import CheckoutId, TopupId
from app.sandbox.stripe import CardDeclined
from app.topups.gateway.errors import GatewayError, StripeRefused, StripeUnknown
from app.topups.visits.checkouts import Purpose, open_checkout, open_confirmation
from app.topups.visits.queries import find_due
from app.topups.visits.syncing import sync_checkout, sync_session
from app.wallet import get_balance
from app.web.errors import IdempotencyMismatch

CHANGES = ("create_customer", "create_session")


async def synced(till, row):
    return await sync_checkout(till.tools, account_id=row.account_id, checkout_id=row.id, at=till.clock.now())


async def incoming(till, account):
    async with till.tools.db.begin(account) as session:
        return (await get_balance(session, account_id=account, at=till.clock.now())).incoming


async def test_a_deposit_is_credited_when_stripe_says_that_it_is_paid(till, account) -> None:
    row = await till.open(account, amount=25_000_000)
    assert (row.state, row.payment_id) == ("open", None)
    assert row.url.startswith(f"{till.sandbox.url}/c/pay/")
    assert (await synced(till, row)).state == "open"
    assert await till.available(account) == 0
    await till.stripe.pay(row.session_id)
    done = await synced(till, row)
    assert (done.state, done.completed_at) == ("complete", till.clock.now())
    assert done.payment_id.startswith("pay_")
    assert await till.available(account) == 25_000_000
    assert await till.deposits(account) == [25_000_000]


async def test_looking_again_and_again_credits_once(till, account) -> None:
    row = await till.open(account)
    await till.stripe.pay(row.session_id)
    await asyncio.gather(*(synced(till, row) for _ in range(6)))
    assert await till.deposits(account) == [25_000_000]


async def test_one_key_has_one_session(till, account) -> None:
    wish = till.wish()
    opened = await asyncio.gather(
        *(open_checkout(till.tools, wish, account_id=account, at=till.clock.now()) for _ in range(6)),
        return_exceptions=True,
    )
    rows = {one.row.id for one in opened if not isinstance(one, GatewayError)}
    again = await open_checkout(till.tools, wish, account_id=account, at=till.clock.now())
    assert rows == {again.row.id}
    assert again.replayed
    assert len(till.objects("checkout.session", account)) == 1
    assert len(till.objects("customer", account)) == 1


async def test_one_key_stands_for_one_wish(till, account) -> None:
    wish = till.wish()
    await open_checkout(till.tools, wish, account_id=account, at=till.clock.now())
    for other in (replace(wish, amount=1_000_000), replace(wish, save_card=True)):
        with pytest.raises(IdempotencyMismatch):
            await open_checkout(till.tools, other, account_id=account, at=till.clock.now())


async def test_two_purposes_share_no_key(till, account) -> None:
    first = await till.open(account, key="k")
    second = await till.open(account, key="k", purpose=Purpose.SAVE_CARD, amount=None, save_card=True)
    assert first.id != second.id


async def test_two_accounts_share_no_key(till, new_account) -> None:
    one, other = await new_account(), await new_account()
    assert (await till.open(one, key="k")).id != (await till.open(other, key="k")).id


@pytest.mark.parametrize("call", CHANGES)
@pytest.mark.parametrize("mode", ["drop", "hang"])
async def test_an_answer_that_got_lost_is_found_by_asking_again(till, account, call, mode) -> None:
    till.fault("timeout_after_success", call, mode=mode)
    wish = till.wish()
    with pytest.raises(StripeUnknown):
        await open_checkout(till.tools, wish, account_id=account, at=till.clock.now())
    opened = await open_checkout(till.tools, wish, account_id=account, at=till.clock.now())
    assert opened.row.state == "open"
    assert [one["id"] for one in till.objects("checkout.session", account)] == [opened.row.session_id]
    assert len(till.objects("customer", account)) == 1


async def test_the_sweep_finds_what_its_caller_never_asked_for_again(till, account) -> None:
    till.fault("timeout_after_success", "create_session", mode="drop")
    with pytest.raises(StripeUnknown):
        await till.open(account)
    [row] = await till.rows("checkouts", account)
    assert (row["state"], row["session_id"]) == ("created", None)
    async with till.tools.db.begin_unscoped() as session:
        assert (account, row["id"]) in await find_due(session, at=row["next_at"], buckets=[row["bucket"]], limit=10_000)
    found = await sync_checkout(till.tools, account_id=account, checkout_id=row["id"], at=till.clock.now())
    assert found.state == "open"
    assert [one["id"] for one in till.objects("checkout.session", account)] == [found.session_id]


async def test_a_visit_that_stripe_never_heard_of_ends_after_a_day(till, account) -> None:
    till.fault("server_error", "create_session")
    with pytest.raises(StripeUnknown):
        await till.open(account)
    [row] = await till.rows("checkouts", account)
    late = row["created_at"] + (row["expires_at"] - row["created_at"])
    ended = await sync_checkout(till.tools, account_id=account, checkout_id=row["id"], at=late)
    assert (ended.state, ended.next_at) == ("expired", None)
    assert till.objects("checkout.session", account) == []


async def test_an_error_that_stripe_repeats_for_ever_ends_the_visit(till, account) -> None:
    till.fault("server_error", "create_session", mode="kept")
    wish = till.wish()
    for _ in range(2):
        with pytest.raises(StripeUnknown):
            await open_checkout(till.tools, wish, account_id=account, at=till.clock.now())
    with pytest.raises(StripeRefused):
        await open_checkout(till.tools, wish, account_id=account, at=till.clock.now())
    assert (await till.open(account)).state == "open", "with a fresh key it goes on"


async def test_a_session_behind_an_error_that_is_repeated_is_found(till, account) -> None:
    till.fault("server_error", "create_session", mode="kept", after_effect=True)
    wish = till.wish()
    with pytest.raises(StripeUnknown):
        await open_checkout(till.tools, wish, account_id=account, at=till.clock.now())
    opened = await open_checkout(till.tools, wish, account_id=account, at=till.clock.now())
    assert [one["id"] for one in till.objects("checkout.session", account)] == [opened.row.session_id]


async def test_what_stripe_refuses_has_failed(till, account) -> None:
    wish = till.wish(amount=10_000)  # a cent: the page's least is fifty
    for _ in range(2):
        with pytest.raises(StripeRefused):
            await open_checkout(till.tools, wish, account_id=account, at=till.clock.now())
    [row] = await till.rows("checkouts", account)
    assert (row["state"], row["next_at"]) == ("failed", None)


async def test_money_that_takes_its_time_is_incoming_and_then_there(till, account) -> None:
    row = await till.open(account)
    await till.stripe.pay(row.session_id, "bank")
    assert (await synced(till, row)).state == "processing"
    assert await incoming(till, account) == 25_000_000
    assert await till.available(account) == 0
    till.stripe.settle_async(row.session_id, ok=True)
    assert (await synced(till, row)).state == "complete"
    assert await incoming(till, account) == 0
    assert await till.available(account) == 25_000_000


async def test_money_that_never_comes_is_not_credited(till, account) -> None:
    row = await till.open(account)
    await till.stripe.pay(row.session_id, "bank")
    await synced(till, row)
    till.stripe.settle_async(row.session_id, ok=False)
    assert (await synced(till, row)).state == "failed"
    assert await till.available(account) == 0


async def test_a_payment_that_differs_from_what_was_asked_for_is_nothing_to_wait_for(till, account) -> None:
    row = await till.open(account)
    async with till.tools.db.begin(account) as session:
        await driver(session).execute("UPDATE checkouts SET amount = 1000000 WHERE id = $1", row.id)
    await till.stripe.pay(row.session_id)
    assert (await synced(till, row)).state == "failed"
    assert await incoming(till, account) == 0
    assert await till.available(account) == 0


async def test_a_declined_card_leaves_the_page_open(till, account) -> None:
    row = await till.open(account)
    with pytest.raises(CardDeclined):
        await till.stripe.pay(row.session_id, "4000000000000002")
    assert (await synced(till, row)).state == "open"
    await till.stripe.pay(row.session_id)
    assert (await synced(till, row)).state == "complete"
    assert await till.deposits(account) == [25_000_000]


async def test_a_page_that_nobody_used_expires(till, account) -> None:
    row = await till.open(account)
    till.stripe.expire(row.session_id)
    ended = await synced(till, row)
    assert (ended.state, ended.next_at) == ("expired", None)


async def test_a_session_that_stripe_does_not_know_any_more_is_given_up_after_its_time(till, account) -> None:
    """As after a change of keys: the new ones open another account's books."""
    row = await till.open(account)
    till.stripe.books.store.remove(till.stripe.sessions.need(row.session_id))
    seen = await synced(till, row)
    assert seen.state == "open"
    assert seen.next_at > till.clock.now()
    ended = await sync_checkout(till.tools, account_id=account, checkout_id=row.id, at=row.expires_at)
    assert (ended.state, ended.next_at) == ("expired", None)


async def test_an_old_answer_undoes_nothing(till, account) -> None:
    from app.topups.visits.checkouts import State, follow

    row = await till.open(account)
    before = await till.gateway.get_session(row.session_id)
    await till.stripe.pay(row.session_id)
    await synced(till, row)
    kept = await follow(till.tools, row, before, State.OPEN, at=till.clock.now())
    assert kept.state == "complete"


async def test_a_card_is_saved_where_that_was_asked_for(till, account) -> None:
    row = await till.open(account, save_card=True)
    await till.stripe.pay(row.session_id, "5555555555554444")
    await synced(till, row)
    [card] = await till.rows("payment_methods", account)
    assert (card["brand"], card["last4"], card["detached_at"]) == ("mastercard", "4444", None)
    plain = await till.open(account)
    await till.stripe.pay(plain.session_id)
    await synced(till, plain)
    assert len(await till.rows("payment_methods", account)) == 1


async def test_a_card_can_be_saved_without_paying(till, account) -> None:
    row = await till.open(account, purpose=Purpose.SAVE_CARD, amount=None, save_card=True)
    await till.stripe.pay(row.session_id)
    done = await synced(till, row)
    [card] = await till.rows("payment_methods", account)
    assert (done.state, done.payment_method_id, done.payment_id) == ("complete", card["id"], None)
    assert await till.available(account) == 0
    assert (await till.told(account))["payment_method.saved"] == 1


async def test_a_person_confirms_a_top_up_once(till, account) -> None:
    attempt = TopupId.new()
    rows = [
        await open_confirmation(
            till.tools, account_id=account, attempt_id=attempt, amount=10_000_000, at=till.clock.now()
        )
        for _ in range(2)
    ]
    assert rows[0].id == rows[1].id
    assert (rows[0].purpose, rows[0].attempt_id, rows[0].save_card) == ("confirm_topup", attempt, True)
    await till.stripe.pay(rows[0].session_id)
    assert (await synced(till, rows[0])).state == "complete"
    assert await till.deposits(account) == [10_000_000]


async def test_a_session_is_followed_to_its_visit(till, account) -> None:
    row = await till.open(account)
    await till.stripe.pay(row.session_id)
    found = await sync_session(till.tools, row.session_id, at=till.clock.now())
    assert (found.id, found.state) == (row.id, "complete")
    assert await till.deposits(account) == [25_000_000]


async def test_a_session_is_followed_even_when_its_answer_got_lost(till, account) -> None:
    till.fault("timeout_after_success", "create_session", mode="drop")
    with pytest.raises(StripeUnknown):
        await till.open(account)
    [session] = till.objects("checkout.session", account)
    await till.stripe.pay(session["id"])
    found = await sync_session(till.tools, session["id"], at=till.clock.now())
    assert (found.session_id, found.state) == (session["id"], "complete")
    assert await till.deposits(account) == [25_000_000]


async def test_sessions_that_are_no_visits_of_ours_are_left_alone(till, account, new_account) -> None:
    row = await till.open(account)
    other = await new_account()
    foreign = [
        {"account_id": other, "checkout_id": row.id, "deployment": "tills"},
        {"account_id": account, "checkout_id": CheckoutId.new(), "deployment": "tills"},
        {"account_id": account, "checkout_id": row.id, "deployment": "another"},
        {"account_id": "nobody", "checkout_id": row.id, "deployment": "tills"},
        {"account_id": account, "checkout_id": row.id, "deployment": "tills"},
        {},
    ]
    for metadata in foreign:
        order = replace(
            till.gateway.session_order(
                _visit(row, customer_id=row.params["customer"]),
            ),
            checkout_id=CheckoutId.new(),
        )
        order.params["metadata"] = metadata
        made = await till.gateway.create_session(order)
        await till.stripe.pay(made.id)
        assert await sync_session(till.tools, made.id, at=till.clock.now()) is None
    assert await sync_session(till.tools, "cs_test_nothing", at=till.clock.now()) is None
    assert await till.available(account) == 0


def _visit(row, *, customer_id):
    from app.topups.gateway.facts import Visit

    return Visit(row.id, row.account_id, customer_id, 25_000_000, save_card=False, return_url="http://test")
