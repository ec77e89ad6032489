"""Refunds that are asked of us: held, made at Stripe once, and finished, or released."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from app import ledger, wallet
from app.kit.errors import NotFound
from app.kit.ids import PaymentId, RentalId
from app.kit.leases import StaleFenceError
from app.kit.reconcile import Round
from app.sandbox import Fault
from app.topups.models import RefundRow
from app.topups.payments.errors import NotRefundable, PaymentDisputed, RefundTooLarge, RefundWindowOver
from app.topups.payments.refunding import find, gross_of, refunding
from app.topups.payments.rows import PENDING_EVERY
from app.web.errors import IdempotencyMismatch, ValidationFailed

LOST = "timeout_after_success"


async def made(till, account):
    """The refunds that Stripe has really made for an account, in dollars."""
    return [row["amount"] / 100 for row in till.bank.truth().refunds if row["metadata"].get("account_id") == account]


async def test_its_money_is_held_and_then_leaves(till, account):
    payment = await till.deposit(account)
    row = await till.ask(account, payment, 10)
    balance = await till.balance(account)
    assert (balance.available, balance.reserved) == (15_000_000, 10_000_000)
    assert await till.step(row) == "applied"
    row = await till.refund_of(account, row.id)
    assert (row.status, row.source, row.next_at) == ("succeeded", "ours", None)
    assert await till.kinds(account) == ["deposit", "refund_hold", "refund"]
    assert {reference for _, _, reference in await till.transfers(account)} == {payment.id, row.id}
    balance = await till.balance(account)
    assert (balance.available, balance.reserved) == (15_000_000, 0)
    assert await made(till, account) == [10]
    assert [row.refunded for row in await till.payments(account)] == [10_000_000]
    assert await till.mails(account) == ["deposit_received", "refund_made"]
    assert await till.events(account) == ["payment.succeeded", "refund.requested", "refund.succeeded"]


async def test_without_an_amount_everything_that_can_be_goes_back(till, account):
    payment = await till.deposit(account)
    await till.spend(account, 7)
    row = await till.refund(account, payment)
    assert (row.amount, row.status) == (18_000_000, "succeeded")
    assert (await till.balance(account)).available == 0
    assert await till.worth(account) == 7_000_000


async def test_only_whole_cents_go_back(till, account):
    payment = await till.deposit(account)
    async with till.tools.db.begin(account) as session:
        rental = RentalId.new()
        await wallet.hold(session, account_id=account, rental_id=rental, rate=1_000_001, at=till.at, actor="test")
        await wallet.start(session, account_id=account, rental_id=rental, at=till.at)
    till.later(seconds=3600)
    async with till.tools.db.begin(account) as session:
        await wallet.close(session, account_id=account, rental_id=rental, at=till.at, billable_until=till.at)
    with pytest.raises(ValidationFailed):
        await till.ask(account, payment, 0.005)
    assert (await till.refund(account, payment)).amount == 23_990_000


async def test_more_than_is_left_is_refused_and_holds_nothing(till, account):
    payment = await till.deposit(account)
    await till.spend(account, 20)
    with pytest.raises(RefundTooLarge) as caught:
        await till.ask(account, payment, 6)
    assert caught.value.extra["refundable"] == "5.00"
    assert await till.refunds(account) == []
    assert (await till.balance(account)).reserved == 0


async def test_what_was_spent_can_not_be_refunded(till, account):
    payment = await till.deposit(account)
    await till.spend(account, 25)
    with pytest.raises(NotRefundable):
        await till.ask(account, payment)


async def test_what_is_held_for_a_rental_can_not_be_refunded(till, account):
    payment = await till.deposit(account)
    rental = RentalId.new()
    async with till.tools.db.begin(account) as session:
        await wallet.hold(session, account_id=account, rental_id=rental, rate=20_000_000, at=till.at, actor="test")
    with pytest.raises(RefundTooLarge):
        await till.ask(account, payment, 6)
    assert (await till.refund(account, payment)).amount == 5_000_000


async def test_a_payment_does_not_pay_for_the_refund_of_another(till, account):
    first = await till.deposit(account, 10)
    await till.spend(account, 10)
    second = await till.deposit(account, 20)
    with pytest.raises(NotRefundable):
        await till.ask(account, first)
    assert (await till.refund(account, second)).amount == 20_000_000


async def test_many_wishes_at_once_never_refund_more_than_there_is(till, account):
    payment = await till.deposit(account)
    results = await asyncio.gather(*(till.ask(account, payment, 10) for _ in range(6)), return_exceptions=True)
    rows = [row for row in results if not isinstance(row, BaseException)]
    assert len(rows) == 2
    assert {type(error) for error in results if isinstance(error, BaseException)} == {RefundTooLarge}
    await asyncio.gather(*(till.step(row) for row in rows))
    assert await made(till, account) == [10, 10]
    assert (await till.balance(account)).total == 5_000_000


async def test_the_same_key_is_the_same_refund(till, account):
    payment = await till.deposit(account)
    results = await asyncio.gather(*(till.asked(account, payment, 10, key="once") for _ in range(4)))
    assert len({asked.row.id for asked in results}) == 1
    assert sorted(asked.replayed for asked in results) == [False, True, True, True]
    with pytest.raises(IdempotencyMismatch):
        await till.asked(account, payment, 11, key="once")


async def test_nothing_leaves_a_wallet_that_is_frozen(till, account):
    payment = await till.deposit(account)
    async with till.tools.db.begin(account) as session:
        await ledger.freeze(session, account_id=account, at=till.at)
    with pytest.raises(wallet.WalletLocked):
        await till.ask(account, payment, 1)
    async with till.tools.db.begin(account) as session:
        await wallet.unfreeze(session, account_id=account, at=till.at)
    assert (await till.refund(account, payment, 1)).status == "succeeded"


async def test_payments_are_refunded_for_fourteen_days(till, account):
    payment = await till.deposit(account)
    till.later(days=14)
    await till.ask(account, payment, 1)
    till.later(seconds=1)
    with pytest.raises(RefundWindowOver):
        await till.ask(account, payment, 1)


async def test_nobody_refunds_what_is_not_his(till, account, new_account):
    payment = await till.deposit(account)
    other = await new_account(micros=50_000_000)
    with pytest.raises(NotFound):
        await till.ask(other, payment, 1)
    payment.id = PaymentId.new()
    with pytest.raises(NotFound):
        await till.ask(account, payment, 1)


@pytest.mark.parametrize("mode", ["drop", "hang"])
async def test_a_lost_answer_never_makes_two(till, account, mode):
    payment = await till.deposit(account)
    row = await till.ask(account, payment, 10)
    till.sandbox.faults.add(Fault(LOST, operation="stripe.create_refund", mode=mode, seconds=6))
    assert await till.step(row) == "unknown"
    assert (await till.refund_of(account, row.id)).status == "unknown"
    assert (await till.balance(account)).reserved == 10_000_000
    assert await till.step(row) == "nothing_to_do"
    till.later(minutes=2)
    assert await till.step(row) == "applied"
    assert await made(till, account) == [10]
    assert (await till.balance(account)).available == 15_000_000


@pytest.mark.parametrize("kind", ["server_error", "malformed", "rate_limited", "unauthorized"])
async def test_whatever_stripe_answers_there_is_one_in_the_end(till, account, kind):
    payment = await till.deposit(account)
    row = await till.ask(account, payment, 10)
    till.sandbox.faults.add(Fault(kind, operation="stripe.create_refund", times=2))
    for _ in range(6):
        await till.step(row)
        till.later(minutes=10)
    assert (await till.refund_of(account, row.id)).status == "succeeded"
    assert await made(till, account) == [10]


async def test_an_error_that_stripe_keeps_repeating_makes_none_and_holds_the_money(till, account):
    payment = await till.deposit(account)
    row = await till.ask(account, payment, 10)
    till.sandbox.faults.add(Fault("server_error", operation="stripe.create_refund", mode="kept"))
    for _ in range(3):
        assert await till.step(row) == "unknown"
        till.later(hours=1)
    assert await made(till, account) == []
    assert (await till.balance(account)).reserved == 10_000_000


async def test_a_refund_whose_payment_can_not_be_read_is_finished_at_the_next_look(till, account):
    payment = await till.deposit(account)
    row = await till.ask(account, payment, 10)
    till.sandbox.faults.add(Fault("server_error", operation="stripe.list_disputes", times=None))
    assert await till.step(row) == "unavailable"
    till.sandbox.faults.clear()
    assert (await till.refund_of(account, row.id)).status == "submitted"
    till.later(minutes=2)
    assert await till.step(row) == "applied"
    assert await made(till, account) == [10]


async def test_stripe_has_none_of_it_and_the_money_is_free_again(till, account):
    payment = await till.deposit(account)
    row = await till.ask(account, payment, 10)
    till.bank.refund(payment.payment_intent_id, 2000)
    assert await till.step(row) == "refused"
    row = await till.refund_of(account, row.id)
    assert row.status == "failed"
    assert (await till.balance(account)).total == 5_000_000
    assert "refund_failed" in await till.mails(account)
    assert await till.worth(account) == 5_000_000


async def test_a_payment_that_was_refunded_meanwhile_takes_the_money_once(till, account):
    payment = await till.deposit(account)
    row = await till.ask(account, payment)
    till.bank.refund(payment.payment_intent_id)
    assert await till.step(row) == "refused"
    assert (await till.refund_of(account, row.id)).failure_reason == "charge_already_refunded"
    assert (await till.balance(account)).total == 0
    assert await till.worth(account) == 0
    assert [row.refunded for row in await till.payments(account)] == [25_000_000]


async def test_a_disputed_payment_is_not_refunded(till, account):
    payment = await till.deposit(account)
    till.bank.dispute(payment.payment_intent_id)
    await till.apply(payment.payment_intent_id)
    with pytest.raises(PaymentDisputed):
        await till.ask(account, payment, 1)


async def test_a_refund_that_meets_a_dispute_is_released_for_it(till, account):
    payment = await till.deposit(account)
    row = await till.ask(account, payment, 10)
    till.bank.dispute(payment.payment_intent_id)
    assert await till.step(row) == "refused"
    assert (await till.refund_of(account, row.id)).failure_reason == "charge_disputed"
    balance = await till.balance(account)
    assert (balance.total, balance.owed) == (0, 0)
    assert await till.worth(account) == 0


async def test_an_inquiry_can_be_answered_by_a_refund(till, account):
    payment = await till.deposit(account)
    till.bank.dispute(payment.payment_intent_id, inquiry=True)
    await till.apply(payment.payment_intent_id)
    assert (await till.refund(account, payment)).status == "succeeded"


async def test_a_refund_that_is_on_its_way_has_left_and_is_looked_at_again(till, account):
    payment = await till.deposit(account, card="4000000000007726")
    row = await till.refund(account, payment, 10)
    assert row.status == "pending"
    assert (await till.balance(account)).reserved == 0
    [stripes] = [one for one in till.bank.truth().refunds if one["payment_intent"] == payment.payment_intent_id]
    till.bank.settle_refund(stripes["id"], ok=True)
    till.at += PENDING_EVERY + timedelta(minutes=1)
    assert await till.step(row) == "unchanged"
    assert (await till.refund_of(account, row.id)).status == "succeeded"
    assert await till.kinds(account) == ["deposit", "refund_hold", "refund"]


@pytest.mark.parametrize("card", ["4000000000007726", "4242424242424242"])
async def test_a_refund_that_fails_afterwards_comes_back(till, account, card):
    payment = await till.deposit(account, card=card)
    row = await till.refund(account, payment, 10)
    [stripes] = [one for one in till.bank.truth().refunds if one["payment_intent"] == payment.payment_intent_id]
    till.bank.settle_refund(stripes["id"], ok=False)
    await till.apply(payment.payment_intent_id)
    await till.apply(payment.payment_intent_id)
    row = await till.refund_of(account, row.id)
    assert (row.status, row.failure_reason) == ("failed", "expired_or_canceled_card")
    assert (await till.balance(account)).available == 25_000_000
    assert await till.kinds(account) == ["deposit", "refund_hold", "refund", "refund_reversal"]
    assert [row.refunded for row in await till.payments(account)] == [0]
    assert "refund_failed" in await till.mails(account)


async def test_what_came_back_can_be_refunded_again(till, account):
    payment = await till.deposit(account)
    await till.refund(account, payment, 25)
    [stripes] = [one for one in till.bank.truth().refunds if one["payment_intent"] == payment.payment_intent_id]
    till.bank.settle_refund(stripes["id"], ok=False)
    await till.apply(payment.payment_intent_id)
    assert (await till.refund(account, payment)).amount == 25_000_000
    assert (await till.balance(account)).total == 0


async def test_a_refund_given_up_that_was_made_after_all_is_taken(till, account):
    payment = await till.deposit(account)
    row = await till.ask(account, payment, 10)
    till.sandbox.faults.add(Fault("server_error", operation="stripe.create_refund"))
    await till.step(row)
    till.bank.refunds.make(
        till.bank.charge_of(payment.payment_intent_id), 1000, metadata={"account_id": account, "refund_id": row.id}
    )
    async with till.tools.db.begin(account) as session:
        await wallet.release_refund(session, account_id=account, refund_id=row.id, at=till.at)
        found = await session.get(RefundRow, (account, row.id))
        found.status, found.next_at, found.resolved_at = "failed", None, till.at
    await till.apply(payment.payment_intent_id)
    assert [(row.source, row.status) for row in await till.refunds(account)] == [
        ("ours", "failed"),
        ("external", "succeeded"),
    ]
    assert (await till.balance(account)).available == 15_000_000
    assert await till.worth(account) == 15_000_000


async def test_it_is_found_by_the_worker_that_holds_its_bucket(till, account):
    payment = await till.deposit(account)
    row = await till.ask(account, payment, 10)
    async with till.tools.db.begin_unscoped() as session:
        mine = await find(session, Round(till.at, till.holding), limit=1_000)
        nobodys = await find(session, Round(till.at, replace(till.holding, fences={})), limit=1_000)
        early = await find(session, Round(till.at - timedelta(seconds=1), till.holding), limit=1_000)
    assert row.id in [due.refund_id for due in mine]
    assert nobodys == []
    assert row.id not in [due.refund_id for due in early]


async def test_a_stale_fence_asks_nothing(till, account):
    payment = await till.deposit(account)
    row = await till.ask(account, payment, 10)
    stale = replace(till.holding, fences={name: fence - 1 for name, fence in till.holding.fences.items()})
    due = next(
        due for due in await refunding(till.tools).find(Round(till.at, till.holding), 1_000) if due.refund_id == row.id
    )
    with pytest.raises(StaleFenceError):
        await refunding(till.tools).step(Round(till.at, stale), due)
    assert await made(till, account) == []


async def test_without_a_key_refunds_wait(till, account):
    payment = await till.deposit(account)
    row = await till.ask(account, payment, 10)
    assert await till.step(row, replace(till.tools, stripe=None)) == "no_key"


def test_what_goes_back_to_the_card_includes_its_part_of_the_tax():
    assert gross_of(25_000_000, paid=27_500_000, tax=2_500_000) == 27_500_000
    assert gross_of(10_000_000, paid=27_500_000, tax=2_500_000) == 11_000_000
    assert gross_of(10_000, paid=27_500_000, tax=2_500_000) == 10_000
    assert gross_of(10_000_000, paid=25_000_000, tax=0) == 10_000_000
