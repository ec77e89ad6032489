"""Card money comes in by one function, once, and only when it is what we asked for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.kit.db import driver
from app.kit.ids import AccountId
from app.topups.payments.applying import Outcome, apply_payment


async def test_a_payment_is_credited_once_however_often_it_is_told(till, account):
    intent = await till.pay(account)
    first = await till.apply(intent)
    assert (first.outcome, first.credited, first.account_id) == (Outcome.APPLIED, 25_000_000, account)
    again = await till.apply(intent)
    assert (again.outcome, again.credited, again.payment_id) == (Outcome.UNCHANGED, 0, first.payment_id)
    assert await till.transfers(account) == [("deposit", 25, first.payment_id)]
    assert (await till.balance(account)).available == 25_000_000


async def test_many_at_once_credit_once(till, account):
    intent = await till.pay(account)
    results = await asyncio.gather(*(till.apply(intent) for _ in range(8)))
    assert sorted(result.credited for result in results) == [0] * 7 + [25_000_000]
    assert await till.kinds(account) == ["deposit"]
    assert len(await till.payments(account)) == 1


async def test_it_is_shown_with_its_receipt_and_card(till, account):
    payment = await till.deposit(account)
    assert (payment.status, payment.source, payment.brand, payment.last4) == ("succeeded", "checkout", "visa", "4242")
    assert payment.receipt_url
    assert payment.charge_id
    assert payment.fingerprint
    assert payment.checkout_id
    assert payment.succeeded_at == till.at


async def test_it_is_told_once(till, account):
    intent = await till.pay(account)
    await till.apply(intent)
    await till.apply(intent)
    assert await till.events(account) == ["payment.succeeded"]
    assert await till.mails(account) == ["deposit_received"]


async def test_nothing_is_credited_before_it_is_paid(till, account, stripe):
    intent = await till.pay(account, card="bank")
    applied = await till.apply(intent)
    assert (applied.outcome, applied.credited) == (Outcome.WAITING, 0)
    assert [row.status for row in await till.payments(account)] == ["processing"]
    assert await till.kinds(account) == []


@pytest.mark.parametrize(("ok", "status", "kinds"), [(True, "succeeded", ["deposit"]), (False, "failed", [])])
async def test_a_payment_that_takes_days_is_credited_when_it_has_arrived(till, account, ok, status, kinds):
    checkout = await till.open(account)
    session = await till.bank.pay(checkout.session_id, "bank")
    await till.apply(session["payment_intent"])
    till.bank.settle_async(checkout.session_id, ok=ok)
    await till.apply(session["payment_intent"])
    assert [row.status for row in await till.payments(account)] == [status]
    assert await till.kinds(account) == kinds
    assert await till.events(account) == [f"payment.{status}"]


async def test_what_was_never_paid_leaves_no_row(till, account):
    checkout = await till.open(account)
    with pytest.raises(Exception, match=r"declined|insufficient"):
        await till.bank.pay(checkout.session_id, "4000000000009995")
    for payment in till.bank.truth().payments:
        if payment.metadata.get("account_id") == account:
            assert (await till.apply(payment.id)).outcome is Outcome.WAITING
    assert await till.payments(account) == []


async def test_a_payment_that_stripe_does_not_know_is_none_of_ours(till):
    applied = await till.apply("pi_missing")
    assert (applied.outcome, applied.reason) == (Outcome.FOREIGN, "missing")


async def test_another_deployments_payment_is_none_of_ours(till, account):
    intent = await till.pay(account)
    other = replace(till.tools, deployment="another")
    applied = await apply_payment(other, intent, at=till.at)
    assert (applied.outcome, applied.reason) == (Outcome.FOREIGN, "not_ours")
    assert await till.kinds(account) == []


class TestGuards:
    """What differs from what we asked for is never credited."""

    async def tamper(self, till, intent, **changes):
        found = till.bank.books.need("payment_intent", intent)
        till.bank.books.change(found, **changes)
        return await till.apply(intent)

    async def refused(self, till, account, applied):
        assert applied.outcome is Outcome.REFUSED
        assert await till.kinds(account) == []
        assert await till.payments(account) == []
        return applied.reason

    async def test_another_currency(self, till, account):
        applied = await self.tamper(till, await till.pay(account), currency="jpy")
        assert await self.refused(till, account, applied) in ("wrong_currency", "wrong_amount")

    async def test_another_mode(self, till, account):
        applied = await self.tamper(till, await till.pay(account), livemode=True)
        assert await self.refused(till, account, applied) == "wrong_livemode"

    async def test_another_customer(self, till, account, new_account):
        other = await new_account()
        await till.open(other)
        theirs = till.bank.books.need("payment_intent", await till.pay(other))["customer"]
        applied = await self.tamper(till, await till.pay(account), customer=theirs)
        assert await self.refused(till, account, applied) == "wrong_customer"

    async def test_another_amount(self, till, account):
        applied = await self.tamper(till, await till.pay(account), amount=2_600, amount_received=2_600)
        assert await self.refused(till, account, applied) == "wrong_amount"

    async def test_another_accounts_name_on_it(self, till, account, new_account):
        other = await new_account()
        await till.open(other)
        intent = await till.pay(account)
        metadata = till.bank.books.need("payment_intent", intent)["metadata"] | {"account_id": other}
        applied = await self.tamper(till, intent, metadata=metadata)
        assert await self.refused(till, other, applied) == "wrong_customer"
        assert await till.kinds(account) == []

    async def test_a_checkout_that_is_not_there(self, till, account):
        intent = await till.pay(account)
        metadata = till.bank.books.need("payment_intent", intent)["metadata"] | {"checkout_id": "chk_nothing"}
        applied = await self.tamper(till, intent, metadata=metadata)
        assert await self.refused(till, account, applied) == "not_asked_for"

    async def test_an_account_that_is_not_there(self, till, account):
        intent = await till.pay(account)
        metadata = till.bank.books.need("payment_intent", intent)["metadata"] | {"account_id": AccountId.new()}
        applied = await self.tamper(till, intent, metadata=metadata)
        assert applied.outcome is Outcome.REFUSED
        assert await till.kinds(account) == []

    async def test_a_payment_that_was_counted_for_another_account(self, till, account, new_account):
        intent = await till.pay(account)
        other = await new_account()
        async with till.tools.db.begin_unscoped() as session:
            await driver(session).execute("INSERT INTO payment_owners VALUES ($1, $2, 'pay_other')", intent, other)
        applied = await till.apply(intent)
        assert await self.refused(till, account, applied) == "claimed_elsewhere"
