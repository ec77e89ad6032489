"""A wallet's card is charged once per attempt, whatever the answer, whatever gets lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from app import refills
from app.refills import Reason, State
from app.topups.payments.applying import apply_payment
from app.topups.visits.cards import remove_card
from app.topups.visits.syncing import sync_checkout

DOLLAR = 1_000_000
DECLINES, ASKS_ALWAYS = "4000000000000341", "4000002760003184"
CREATE = "create_payment_intent"


async def test_a_charge_comes_in_cools_down_and_is_told(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    attempt = await till.low(account)
    assert (await till.balance(account)).incoming == 25 * DOLLAR
    assert await till.charge(account) == Counter(applied=1)
    [done] = await till.attempts(account)
    assert (done.id, done.state, done.tries) == (attempt.id, "succeeded", 1)
    [payment] = await till.rows("payments", account)
    assert (done.payment_id, done.payment_intent_id) == (payment["id"], payment["payment_intent_id"])
    balance = await till.balance(account)
    assert (balance.available, balance.incoming) == (27 * DOLLAR, 0)
    rule = await till.rule(account)
    assert (rule.state, rule.reason) == (State.COOLING, Reason.SUCCESS)
    assert await till.mails(account) == ["auto_topup_succeeded"]
    [mail] = await till.rows("mails", account)
    told = {name: mail["data"][name] for name in ("amount", "available", "last4", "payment_id")}
    assert told == {"amount": "25.00", "available": "27.00", "last4": "4242", "payment_id": payment["id"]}
    assert await till.events(account) == [
        "auto_topup.configured",
        "auto_topup.active",
        "auto_topup.created",
        "auto_topup.succeeded",
        "auto_topup.cooling",
    ]
    assert await till.charge(account) == Counter()


async def test_a_decline_backs_off_and_says_when_it_tries_again(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account, DECLINES)
    assert await till.charge(account) == Counter(declined=1)
    [attempt] = await till.attempts(account)
    assert attempt.state == "declined"
    assert attempt.decline_code
    assert (await till.rule(account)).state is State.BACKING_OFF
    assert await till.mails(account) == ["auto_topup_declined"]
    assert (await till.balance(account)).available == 2 * DOLLAR


async def test_a_card_that_always_declines_is_tried_three_times_and_left_alone_until_a_person_acts(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account, DECLINES)
    for _ in range(7 * 24):
        await till.sweep(account)
        await till.charge(account)
        till.later(hours=1)
    assert len(await till.attempts(account)) == len(till.intents(account)) == 3
    rule = await till.rule(account)
    assert (rule.state, rule.reason) == (State.SUSPENDED, Reason.CARD)
    mails = Counter(await till.mails(account))
    assert mails == {"auto_topup_declined": 3, "auto_topup_suspended": 1}
    card = await till.save_card(account, DECLINES)  # the same number, saved once more
    await till.set_rule(account, card)
    assert (await till.rule(account)).state is State.SUSPENDED
    await till.pay_by_hand(account, dollars=1)  # another card, by a person
    assert (await till.rule(account)).state is State.ACTIVE
    await till.sweep(account)
    await till.until_rest(account)
    assert len(till.intents(account)) == 4
    assert (await till.rule(account)).state is State.SUSPENDED


async def test_a_card_whose_bank_wants_its_owner_suspends_and_sends_a_page_to_confirm(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account, ASKS_ALWAYS)
    assert await till.charge(account) == Counter(action_required=1)
    [attempt] = await till.attempts(account)
    assert attempt.state == "action_required"
    [checkout] = [row for row in await till.rows("checkouts", account) if row["purpose"] == "confirm_topup"]
    assert (attempt.checkout_id, checkout["amount"]) == (checkout["id"], attempt.amount)
    [intent] = till.intents(account)
    assert intent["status"] == "canceled"
    assert await till.mails(account) == ["auto_topup_action_required"]
    [mail] = await till.rows("mails", account)
    assert mail["data"]["url"] == checkout["url"]
    rule = await till.rule(account)
    assert (rule.state, rule.reason) == (State.SUSPENDED, Reason.ACTION_REQUIRED)
    await till.sandbox.stripe.pay(checkout["session_id"], ASKS_ALWAYS)
    await sync_checkout(till.tools, account_id=account, checkout_id=checkout["id"], at=till.at)
    assert (await till.balance(account)).available == 27 * DOLLAR
    assert (await till.rule(account)).state is State.ACTIVE


@pytest.mark.parametrize("mode", ["hang", "drop"])
async def test_a_time_out_that_hid_a_success_makes_no_second_charge(till, new_account, mode):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account)
    till.fault("timeout_after_success", CREATE, mode=mode)
    assert await till.charge(account) == Counter(unknown=1)
    [attempt] = await till.attempts(account)
    assert attempt.state == "unknown"
    assert (await till.balance(account)).incoming == 25 * DOLLAR
    till.later(minutes=1)
    assert await till.charge(account) == Counter(applied=1)
    assert [one["amount_received"] for one in till.intents(account)] == [2500]
    assert (await till.balance(account)).available == 27 * DOLLAR


async def test_a_time_out_that_hid_a_decline_is_seen_as_one(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account, DECLINES)
    till.fault("timeout_after_success", CREATE, mode="drop")
    await till.charge(account)
    await till.until_rest(account)
    [attempt] = await till.attempts(account)
    assert attempt.state == "declined"
    assert len(till.intents(account)) == 1


async def test_a_time_out_that_hid_the_banks_question_is_seen_as_one(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account, ASKS_ALWAYS)
    till.fault("timeout_after_success", CREATE, mode="drop")
    await till.charge(account)
    await till.until_rest(account)
    [attempt] = await till.attempts(account)
    assert (attempt.state, [one["status"] for one in till.intents(account)]) == ("action_required", ["canceled"])


@pytest.mark.parametrize("call", ["get_payment_intent", "cancel_payment_intent", "create_session"])
async def test_an_answer_lost_on_the_way_to_the_end_is_made_up_for(till, new_account, call):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account, "4242424242424242" if call == "get_payment_intent" else ASKS_ALWAYS)
    till.fault("timeout_after_success", call, mode="drop", times=4 if call == "get_payment_intent" else 1)
    await till.charge(account)
    [attempt] = await till.attempts(account)
    assert attempt.is_open
    await till.until_rest(account)
    [attempt] = await till.attempts(account)
    assert attempt.state == ("succeeded" if call == "get_payment_intent" else "action_required")
    assert len(till.intents(account)) == 1
    assert len([row for row in await till.rows("checkouts", account) if row["purpose"] == "confirm_topup"]) < 2


async def test_stripe_down_for_a_day_charges_nothing_twice_and_frees_the_wallet(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account)
    till.fault("server_error", CREATE, times=1000)
    await till.until_rest(account)
    [attempt] = await till.attempts(account)
    assert attempt.state == "canceled"
    assert till.charged(account) == 0
    till.sandbox.faults.clear()
    till.later(minutes=10)
    await till.sweep(account)
    await till.until_rest(account)
    assert (await till.balance(account)).available == 27 * DOLLAR
    assert till.charged(account) == 25 * DOLLAR


async def test_a_busy_stripe_is_asked_again_when_it_said(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account)
    till.fault("rate_limited", CREATE)
    assert await till.charge(account) == Counter(busy=1)
    await till.until_rest(account)
    assert till.charged(account) == 25 * DOLLAR


async def test_the_webhook_may_be_first(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account)
    till.fault("timeout_after_success", CREATE, mode="drop")
    await till.charge(account)
    [intent] = till.intents(account)
    await apply_payment(till.tools, intent["id"], at=till.at)
    [attempt] = await till.attempts(account)
    assert attempt.state == "succeeded"
    till.later(hours=1)
    assert await till.charge(account) == Counter()
    assert await till.mails(account) == ["auto_topup_succeeded"]


async def test_what_nobody_needs_any_more_is_not_charged(till, new_account, worker_db):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account)
    await till.pay_by_hand(account)
    assert await till.charge(account) == Counter(nothing_to_do=1)
    [attempt] = await till.attempts(account)
    assert attempt.state == "canceled"
    assert till.intents(account) == []


async def test_what_was_asked_for_long_ago_and_never_sent_is_asked_for_anew(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    first = await till.low(account)
    till.later(hours=3)
    await till.charge(account)
    second, stale = await till.attempts(account)
    assert (stale.id, stale.state, second.state) == (first.id, "canceled", "created")
    await till.until_rest(account)
    assert till.charged(account) == 25 * DOLLAR


async def test_turning_it_off_ends_what_was_not_sent(till, new_account, worker_db):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account)
    async with worker_db.begin(account) as session:
        await refills.turn_off(session, account_id=account, actor="test", at=till.at)
    assert await till.charge(account) == Counter()
    assert till.intents(account) == []


async def test_a_card_taken_off_suspends_the_rule(till, new_account):
    account = await new_account(micros=20 * DOLLAR)
    card = await till.save_card(account)
    await till.set_rule(account, card)
    await remove_card(till.tools, card.payment_method_id, account_id=account, at=till.at)
    rule = await till.rule(account)
    assert (rule.state, rule.reason, rule.card) == (State.SUSPENDED, Reason.NO_PAYMENT_METHOD, None)
    assert await till.mails(account) == ["auto_topup_suspended"]


async def test_a_card_that_is_gone_at_stripe_alone_charges_nothing(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    card = await till.save_card(account)
    await till.tools.stripe.detach_card(card.payment_method_id)
    await till.set_rule(account, card)
    await till.until_rest(account)
    assert till.charged(account) == 0
    assert (await till.rule(account)).state in (State.SUSPENDED, State.BACKING_OFF)


async def test_without_a_key_attempts_wait(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account)
    assert await till.charge(account, replace(till.tools, stripe=None)) == Counter(no_key=1)
    assert (await till.attempts(account))[0].state == "created"


async def test_a_stale_worker_writes_nothing(till, new_account, worker_db):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account)
    stale = replace(till, holding=replace(till.holding, fences=dict.fromkeys(till.holding.fences, 0)))
    assert await stale.charge(account) == Counter(stale_fence=1)
    assert (await till.attempts(account))[0].state == "created"


async def test_two_workers_at_once_charge_once(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account)
    await asyncio.gather(*(till.charge(account) for _ in range(3)))
    await till.until_rest(account)
    assert [one["amount_received"] for one in till.intents(account)] == [2500]
    assert (await till.balance(account)).available == 27 * DOLLAR


async def test_the_sweep_asks_where_a_decrease_was_missed_and_ends_waits(till, new_account):
    account = await new_account(micros=20 * DOLLAR)
    card = await till.save_card(account)
    await till.set_rule(account, card, only_while_running=True)
    await till.spend(account, 15)
    await till.until_rest(account)
    till.later(minutes=10)
    assert await till.sweep(account) == Counter(above_threshold=1)
    assert (await till.rule(account)).state is State.ACTIVE
    assert await till.sweep(account) == Counter()


async def test_after_a_dispute_nothing_is_charged(till, new_account):
    account = await new_account(micros=2 * DOLLAR)
    await till.low(account)
    await till.charge(account)
    [intent] = till.intents(account)
    till.sandbox.stripe.dispute(intent["id"])
    await apply_payment(till.tools, intent["id"], at=till.at)
    rule = await till.rule(account)
    assert (rule.state, rule.reason) == (State.SUSPENDED, Reason.DISPUTE)
    till.later(hours=1)
    await till.sweep(account)
    assert len(await till.attempts(account)) == 1
