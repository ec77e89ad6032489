"""Refunds made at Stripe, disputes and warnings: what of them reaches the wallet."""

from __future__ import annotations

import pytest

from app import wallet
from app.kit.ids import RentalId
from app.topups.payments.applying import Outcome
from app.topups.payments.fraud_warnings import heed_fraud_warning
from app.topups.payments.rows import PENDING_EVERY


async def agree(till, account):
    """The wallet has what Stripe has kept, less what was spent."""
    kinds = await till.transfers(account)
    spent = sum(amount for kind, amount, _ in kinds if kind == "usage")
    balance = await till.balance(account)
    assert balance.total - balance.owed == await till.worth(account) - round(spent * 1_000_000)


async def intent_with(till, account, dollars=25):
    payment = await till.deposit(account, dollars)
    return payment, payment.payment_intent_id


class TestRefundsMadeAtStripe:
    async def test_repeated_parts_each_take_their_own(self, till, account):
        _, intent = await intent_with(till, account)
        for cents in (1000, 500, 250):
            till.bank.refund(intent, cents)
            await till.apply(intent)
            await till.apply(intent)
        assert [amount for _, amount, _ in await till.transfers(account)] == [25, 10, 5, 2.5]
        assert [row.refunded for row in await till.payments(account)] == [17_500_000]
        assert {row.source for row in await till.refunds(account)} == {"external"}
        await agree(till, account)

    async def test_parts_seen_at_once_are_the_same_rows(self, till, account):
        _, intent = await intent_with(till, account)
        for cents in (1000, 500, 250):
            till.bank.refund(intent, cents)
        await till.apply(intent)
        assert sorted((kind, amount) for kind, amount, _ in await till.transfers(account)) == [
            ("clawback", 2.5),
            ("clawback", 5),
            ("clawback", 10),
            ("deposit", 25),
        ]

    async def test_what_was_spent_becomes_debt_and_the_next_deposit_pays_it(self, till, account):
        _, intent = await intent_with(till, account)
        await till.spend(account, 20)
        till.bank.refund(intent)
        await till.apply(intent)
        balance = await till.balance(account)
        assert (balance.available, balance.owed) == (0, 20_000_000)
        assert (await till.kinds(account))[-2:] == ["clawback", "debt_incurred"]
        assert "debt" in await till.mails(account)
        assert "wallet.owed" in await till.events(account)
        with pytest.raises(wallet.InsufficientBalance):
            async with till.tools.db.begin(account) as session:
                await wallet.hold(
                    session, account_id=account, rental_id=RentalId.new(), rate=1, at=till.at, actor="test"
                )
        await till.deposit(account, 30)
        balance = await till.balance(account)
        assert (balance.available, balance.owed) == (10_000_000, 0)
        await agree(till, account)

    async def test_one_seen_together_with_the_payment(self, till, account):
        intent = await till.pay(account)
        till.bank.refund(intent, 1000)
        applied = await till.apply(intent)
        assert applied.credited == 25_000_000
        assert await till.kinds(account) == ["deposit", "clawback"]
        await agree(till, account)

    async def test_one_that_fails_afterwards_comes_back_once(self, till, account):
        _, intent = await intent_with(till, account)
        refund = till.bank.refund(intent, 1000)
        await till.apply(intent)
        till.bank.settle_refund(refund["id"], ok=False)
        await till.apply(intent)
        await till.apply(intent)
        assert await till.kinds(account) == ["deposit", "clawback", "refund_reversal"]
        assert [row.status for row in await till.refunds(account)] == ["failed"]
        await agree(till, account)

    async def test_one_first_seen_after_it_failed_leaves_the_same_rows(self, till, account):
        _, intent = await intent_with(till, account)
        till.bank.settle_refund(till.bank.refund(intent, 1000)["id"], ok=False)
        await till.apply(intent)
        assert await till.kinds(account) == ["deposit", "clawback", "refund_reversal"]

    async def test_one_that_is_on_its_way_is_looked_at_even_if_nobody_tells(self, till, account):
        payment = await till.deposit(account, card="4000000000007726")
        refund = till.bank.refund(payment.payment_intent_id, 1000)
        await till.apply(payment.payment_intent_id)
        [row] = await till.refunds(account)
        assert (row.status, row.next_at) == ("pending", till.at + PENDING_EVERY)
        till.bank.settle_refund(refund["id"], ok=False)
        till.at += PENDING_EVERY
        assert await till.step(row) == "applied"
        assert [(row.status, row.next_at) for row in await till.refunds(account)] == [("failed", None)]
        await agree(till, account)

    async def test_promotions_are_never_taken_for_it(self, till, account):
        _, intent = await intent_with(till, account)
        await till.spend(account, 25)
        async with till.tools.db.begin(account) as session:
            await wallet.grant_promo(
                session,
                account_id=account,
                amount=5_000_000,
                reference="welcome",
                reason="welcome",
                actor="test",
                at=till.at,
            )
        till.bank.refund(intent)
        await till.apply(intent)
        assert (await till.balance(account)).owed == 25_000_000
        await till.deposit(account, 25)
        assert (await till.balance(account)).available == 5_000_000


class TestDisputes:
    async def test_an_inquiry_moves_nothing_and_is_told(self, till, account):
        _, intent = await intent_with(till, account)
        opened = till.bank.dispute(intent, inquiry=True)
        await till.apply(intent)
        assert await till.kinds(account) == ["deposit"]
        assert not await till.restricted(account)
        assert [row.phase for row in await till.disputes(account)] == ["inquiry"]
        assert "dispute.inquiry" in await till.events(account)
        till.bank.close_dispute(opened["id"], won=True)
        await till.apply(intent)
        [row] = await till.disputes(account)
        assert (row.phase, row.status, row.closed_at) == ("inquiry", "warning_closed", till.at)
        assert await till.kinds(account) == ["deposit"]
        assert (await till.events(account))[-1] == "dispute.closed"

    async def test_an_inquiry_that_becomes_a_dispute(self, till, account):
        _, intent = await intent_with(till, account)
        opened = till.bank.dispute(intent, inquiry=True)
        await till.apply(intent)
        till.bank.escalate(opened["id"])
        await till.apply(intent)
        assert await till.kinds(account) == ["deposit", "dispute_hold", "dispute_debit"]
        assert await till.restricted(account)
        await agree(till, account)

    async def test_money_is_held_debited_and_nothing_new_begins(self, till, account):
        _, intent = await intent_with(till, account)
        till.bank.dispute(intent)
        await till.apply(intent)
        balance = await till.balance(account)
        assert (balance.available, balance.reserved, balance.owed) == (0, 0, 0)
        await till.deposit(account, 10)
        assert (await till.balance(account)).available == 10_000_000
        with pytest.raises(wallet.WalletRestricted):
            async with till.tools.db.begin(account) as session:
                await wallet.hold(
                    session, account_id=account, rental_id=RentalId.new(), rate=1, at=till.at, actor="test"
                )
        assert next(row.disputed for row in await till.payments(account)) == 25_000_000
        assert "dispute_opened" in await till.mails(account)
        await agree(till, account)

    async def test_after_the_money_was_spent_it_is_owed(self, till, account):
        _, intent = await intent_with(till, account)
        await till.spend(account, 20)
        till.bank.dispute(intent)
        await till.apply(intent)
        balance = await till.balance(account)
        assert (balance.available, balance.owed) == (0, 20_000_000)
        assert "debt" in await till.mails(account)
        await agree(till, account)

    @pytest.mark.parametrize("spent", [0, 20])
    async def test_one_that_is_won_gives_everything_back(self, till, account, spent):
        _, intent = await intent_with(till, account)
        if spent:
            await till.spend(account, spent)
        opened = till.bank.dispute(intent)
        await till.apply(intent)
        till.bank.close_dispute(opened["id"], won=True)
        await till.apply(intent)
        await till.apply(intent)
        balance = await till.balance(account)
        assert (balance.available, balance.owed) == ((25 - spent) * 1_000_000, 0)
        assert not await till.restricted(account)
        [row] = await till.disputes(account)
        assert (row.phase, row.status, row.withdrawn, row.reinstated) == ("closed", "won", 25_000_000, 25_000_000)
        assert [row.disputed for row in await till.payments(account)] == [0]
        assert (await till.mails(account))[-1] == "dispute_closed"
        await agree(till, account)

    async def test_one_that_is_lost_keeps_its_debit_and_ends_the_restriction(self, till, account):
        _, intent = await intent_with(till, account)
        opened = till.bank.dispute(intent)
        await till.apply(intent)
        till.bank.close_dispute(opened["id"], won=False)
        await till.apply(intent)
        assert (await till.balance(account)).total == 0
        assert not await till.restricted(account)
        assert await till.kinds(account) == ["deposit", "dispute_hold", "dispute_debit"]
        await agree(till, account)

    async def test_one_first_seen_when_it_was_won_leaves_the_same_rows(self, till, account):
        _, intent = await intent_with(till, account)
        opened = till.bank.dispute(intent)
        till.bank.close_dispute(opened["id"], won=True)
        await till.apply(intent)
        assert await till.kinds(account) == ["deposit", "dispute_hold", "dispute_debit", "dispute_reversal"]
        assert not await till.restricted(account)
        await agree(till, account)

    async def test_one_that_is_won_in_part(self, till, account):
        _, intent = await intent_with(till, account)
        opened = till.bank.dispute(intent)
        till.bank.close_dispute(opened["id"], won=True, amount=1500)
        await till.apply(intent)
        assert (await till.balance(account)).available == 15_000_000
        await agree(till, account)

    async def test_a_part_of_a_payment_is_disputed(self, till, account):
        _, intent = await intent_with(till, account)
        till.bank.dispute(intent, amount=1000)
        await till.apply(intent)
        assert (await till.balance(account)).available == 15_000_000
        await agree(till, account)

    async def test_after_a_refund_only_the_rest_is_taken(self, till, account):
        payment, intent = await intent_with(till, account)
        await till.refund(account, payment, 10)
        till.bank.dispute(intent, amount=2500)
        await till.apply(intent)
        balance = await till.balance(account)
        assert (balance.available, balance.owed) == (0, 0)
        assert [(row.refunded, row.disputed) for row in await till.payments(account)] == [(10_000_000, 15_000_000)]

    async def test_two_payments_disputed_at_once_are_free_when_both_are_over(self, till, account):
        _, first = await intent_with(till, account)
        _, second = await intent_with(till, account, 10)
        disputes = [till.bank.dispute(first), till.bank.dispute(second)]
        await till.apply(first)
        await till.apply(second)
        till.bank.close_dispute(disputes[0]["id"], won=True)
        await till.apply(first)
        assert await till.restricted(account)
        till.bank.close_dispute(disputes[1]["id"], won=False)
        await till.apply(second)
        assert not await till.restricted(account)
        assert (await till.balance(account)).available == 25_000_000
        await agree(till, account)

    async def test_a_running_rental_keeps_its_hour_and_gets_no_more(self, till, account):
        _, intent = await intent_with(till, account)
        rental = RentalId.new()
        async with till.tools.db.begin(account) as session:
            await wallet.hold(session, account_id=account, rental_id=rental, rate=6_000_000, at=till.at, actor="test")
            await wallet.start(session, account_id=account, rental_id=rental, at=till.at)
        till.bank.dispute(intent)
        await till.apply(intent)
        balance = await till.balance(account)
        assert (balance.available, balance.reserved, balance.owed) == (0, 6_000_000, 6_000_000)
        till.later(minutes=30)
        async with till.tools.db.begin(account) as session:
            end = {"at": till.at, "billable_until": till.at}
            await wallet.close(session, account_id=account, rental_id=rental, **end)
        balance = await till.balance(account)
        assert (balance.available, balance.owed) == (0, 3_000_000)
        await agree(till, account)


class TestFraudWarnings:
    async def test_it_moves_nothing_and_is_told(self, till, account):
        _, intent = await intent_with(till, account)
        till.bank.warn(intent)
        heeded = await heed_fraud_warning(till.tools, intent, at=till.at)
        assert (heeded.outcome, heeded.account_id) == (Outcome.APPLIED, account)
        assert await till.kinds(account) == ["deposit"]
        assert (await till.events(account))[-1] == "payment.fraud_warning"

    async def test_one_about_nothing_of_ours(self, till):
        assert (await heed_fraud_warning(till.tools, "pi_missing", at=till.at)).outcome is Outcome.FOREIGN

    async def test_one_about_another_accounts_customer(self, till, account):
        _, intent = await intent_with(till, account)
        till.bank.books.change(till.bank.books.need("payment_intent", intent), customer="cus_another")
        assert (await heed_fraud_warning(till.tools, intent, at=till.at)).outcome is Outcome.REFUSED
