"""Our books of one payment beside Stripe's."""

from __future__ import annotations

from app.topups.books.comparing import Line, PaymentBooks, What, lines
from tests.topups.saying import DOLLAR, dispute, payment, refund

OURS = PaymentBooks("acct_1", "pay_1", {"re_1": "rfd_1"}, {"dp_1": "dsp_1"})


def books(**net):
    return PaymentBooks(OURS.account_id, OURS.payment_id, OURS.refunds, OURS.disputes, net)


def differing(facts, ours):
    return [line for line in lines("pi_1", facts, ours) if not line.agrees]


def test_books_that_say_what_stripe_says_agree():
    facts = payment(refunds=[refund("re_1", 5)], disputes=[dispute("dp_1", 10, withdrawn=10)])
    ours = books(pay_1=25 * DOLLAR, rfd_1=-5 * DOLLAR, dsp_1=-10 * DOLLAR)
    assert [line.what for line in lines("pi_1", facts, ours)] == [What.PAYMENT, What.REFUND, What.DISPUTE]
    assert differing(facts, ours) == []


def test_a_payment_that_was_never_credited_differs():
    assert differing(payment(), PaymentBooks()) == [Line(What.PAYMENT, "pi_1", None, 0, 25 * DOLLAR)]


def test_a_payment_that_has_not_succeeded_is_worth_nothing_and_one_that_was_credited_all_the_same_differs():
    assert differing(payment("processing"), PaymentBooks()) == []
    assert differing(payment("processing"), books(pay_1=25 * DOLLAR)) == [
        Line(What.PAYMENT, "pi_1", "pay_1", 25 * DOLLAR, 0)
    ]


def test_a_refund_that_only_stripe_knows_differs():
    found = differing(payment(refunds=[refund("re_2", 5)]), books(pay_1=25 * DOLLAR))
    assert found == [Line(What.REFUND, "re_2", None, 0, -5 * DOLLAR)]


def test_a_refund_that_only_we_know_differs():
    found = differing(payment(), books(pay_1=25 * DOLLAR, rfd_1=-5 * DOLLAR))
    assert found == [Line(What.REFUND, "re_1", "rfd_1", -5 * DOLLAR, 0)]


def test_a_refund_that_failed_takes_nothing():
    failed = payment(refunds=[refund("re_1", 5, "failed")])
    assert differing(failed, books(pay_1=25 * DOLLAR)) == []
    assert differing(failed, books(pay_1=25 * DOLLAR, rfd_1=-5 * DOLLAR)) != []


def test_a_dispute_takes_what_was_withdrawn_and_not_given_back():
    won = payment(disputes=[dispute("dp_1", 25, "won", withdrawn=25, reinstated=25)])
    assert differing(won, books(pay_1=25 * DOLLAR)) == []
    lost = payment(disputes=[dispute("dp_1", 25, "lost", withdrawn=25)])
    assert differing(lost, books(pay_1=25 * DOLLAR)) == [Line(What.DISPUTE, "dp_1", "dsp_1", 0, -25 * DOLLAR)]


def test_tax_is_never_credit():
    facts = payment(dollars=30, tax=5, refunds=[refund("re_1", 30)])
    assert differing(facts, books(pay_1=25 * DOLLAR, rfd_1=-25 * DOLLAR)) == []


def test_more_taken_than_paid_is_compared_in_one_sum():
    facts = payment(refunds=[refund("re_1", 25)], disputes=[dispute("dp_1", 25, withdrawn=25)])
    assert differing(facts, books(pay_1=25 * DOLLAR, rfd_1=-25 * DOLLAR)) == []
    assert differing(facts, books(pay_1=25 * DOLLAR, dsp_1=-25 * DOLLAR)) == []
    assert differing(facts, books(pay_1=25 * DOLLAR)) == [Line(What.PAYMENT, "pi_1", "pay_1", 25 * DOLLAR, 0)]


def test_a_payment_that_stripe_does_not_know_is_worth_nothing():
    found = differing(None, books(pay_1=25 * DOLLAR, rfd_1=-5 * DOLLAR))
    assert [(line.what, line.ours, line.theirs) for line in found] == [
        (What.PAYMENT, 25 * DOLLAR, 0),
        (What.REFUND, -5 * DOLLAR, 0),
    ]
