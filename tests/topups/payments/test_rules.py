"""What payments, disputes and warnings mean for the rule that charges a card by itself."""

from __future__ import annotations

import pytest

from app import refills, wallet
from app.kit.ids import AccountId
from app.kit.reconcile import Round
from app.refills import Card, Consent, DueAttempt, Mode, Reason, State, Terms
from app.topups.charging.charging import step
from app.topups.models import PaymentMethodRow
from app.topups.payments.fraud_warnings import heed_fraud_warning

DOLLAR = 1_000_000


@pytest.fixture
def with_rule(till, account):
    """An account that has paid once, saved that card, and lets it be charged: below $30, $20 at a time."""

    async def making():
        payment = await till.deposit(account)
        method = till.bank.add_card(till.bank.books.need("payment_intent", payment.payment_intent_id)["customer"])
        card = Card(method["id"], method["card"]["fingerprint"])
        async with till.tools.db.begin(account) as session:
            session.add(
                PaymentMethodRow(
                    account_id=account,
                    id=card.payment_method_id,
                    customer_id=method["customer"],
                    brand="visa",
                    last4="4242",
                    exp_month=12,
                    exp_year=2040,
                    fingerprint=card.fingerprint,
                    created_at=till.at,
                )
            )
            terms = Terms(Mode.FIXED, 30 * DOLLAR, 20 * DOLLAR, None, 100 * DOLLAR, only_while_running=False)
            consent = Consent("1", till.at, "test")
            await refills.configure(session, account_id=account, terms=terms, card=card, consent=consent, at=till.at)
            await wallet.watch(session, account_id=account)
        return payment

    return making


async def rule_of(till, account):
    async with till.tools.db.begin(account) as session:
        return await refills.find_rule(session, account_id=account)


async def charge(till, account):
    """Let the rule ask its card, and carry that out."""
    async with till.tools.db.begin(account) as session:
        [verdict] = await refills.ask(session, [account], live={account}, at=till.at)
        attempt = await refills.find_open(session, account_id=account)
    assert verdict.attempt_id == attempt.id
    due = DueAttempt(AccountId(account), attempt.id, attempt.bucket)
    await step(till.tools, Round(till.at, till.holding), due)
    return attempt


async def test_a_top_up_is_credited_as_one_and_its_rule_told(till, account, with_rule):
    await with_rule()
    attempt = await charge(till, account)
    payment = (await till.payments(account))[-1]
    assert (payment.source, payment.attempt_id, payment.credited) == ("auto_topup", attempt.id, 20 * DOLLAR)
    assert (await till.transfers(account))[-1] == ("auto_topup", 20, payment.id)
    assert (await rule_of(till, account)).state is State.COOLING
    assert (await till.mails(account)).count("auto_topup_succeeded") == 1
    await till.apply(payment.payment_intent_id)
    assert (await till.kinds(account)).count("auto_topup") == 1


async def test_a_top_up_can_be_refunded_and_disputed_like_any_payment(till, account, with_rule):
    await with_rule()
    await charge(till, account)
    payment = (await till.payments(account))[-1]
    assert (await till.refund(account, payment, 5)).status == "succeeded"
    till.bank.dispute(payment.payment_intent_id)
    await till.apply(payment.payment_intent_id)
    assert (await till.balance(account)).available == 25 * DOLLAR
    rule = await rule_of(till, account)
    assert (rule.state, rule.reason) == (State.SUSPENDED, Reason.DISPUTE)


@pytest.mark.parametrize("inquiry", [True, False])
async def test_a_dispute_and_even_a_question_suspends_the_rule(till, account, with_rule, inquiry):
    payment = await with_rule()
    till.bank.dispute(payment.payment_intent_id, inquiry=inquiry)
    await till.apply(payment.payment_intent_id)
    rule = await rule_of(till, account)
    assert (rule.state, rule.reason) == (State.SUSPENDED, Reason.DISPUTE)
    async with till.tools.db.begin(account) as session:
        verdicts = await refills.ask(session, [account], live={account}, at=till.at)
    assert [verdict.attempt_id for verdict in verdicts] in ([], [None])


async def test_a_warning_of_fraud_suspends_the_rule(till, account, with_rule):
    payment = await with_rule()
    till.bank.warn(payment.payment_intent_id)
    for _ in range(2):
        await heed_fraud_warning(till.tools, payment.payment_intent_id, at=till.at)
    rule = await rule_of(till, account)
    assert (rule.state, rule.reason) == (State.SUSPENDED, Reason.DISPUTE)


async def test_a_payment_by_hand_lets_a_rule_go_on_that_its_card_had_suspended(till, account, with_rule):
    await with_rule()
    async with till.tools.db.begin(account) as session:
        await refills.suspend(session, account_id=account, reason=Reason.CARD, at=till.at)
    await till.deposit(account, 10)
    assert (await rule_of(till, account)).state is State.ACTIVE


async def test_a_payment_by_hand_does_not_end_what_a_dispute_has_suspended(till, account, with_rule):
    payment = await with_rule()
    opened = till.bank.dispute(payment.payment_intent_id)
    await till.apply(payment.payment_intent_id)
    await till.deposit(account, 10)
    till.bank.close_dispute(opened["id"], won=True)
    await till.apply(payment.payment_intent_id)
    assert (await rule_of(till, account)).reason is Reason.DISPUTE
