"""A payment is credited only when it is what we asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.kit.ids import AccountId
from app.topups.payments.guarding import Asked, account_named, refusal
from tests.topups.saying import DOLLAR, payment

ASKED = Asked("checkout", 25 * DOLLAR)


def refused(facts, *, asked=ASKED, customer_id="cus_1", livemode=False):
    return refusal(facts, asked=asked, customer_id=customer_id, livemode=livemode)


def test_a_payment_that_is_what_we_asked_for_passes():
    assert refused(payment()) is None
    assert refused(payment(dollars=27, tax=2)) is None
    assert refused(replace(payment(), currency="USD")) is None


@pytest.mark.parametrize(
    ("facts", "because"),
    [
        (replace(payment(), livemode=True), "wrong_livemode"),
        (replace(payment(), currency="eur"), "wrong_currency"),
        (replace(payment(), currency="jpy"), "wrong_currency"),
        (replace(payment(), customer_id="cus_2"), "wrong_customer"),
        (replace(payment(), customer_id=None), "wrong_customer"),
        (payment(dollars=26), "wrong_amount"),
        (replace(payment(), amount_received=24 * DOLLAR), "wrong_amount"),
        (payment(dollars=24), "wrong_amount"),
        (payment(dollars=25, tax=2), "wrong_amount"),
        (replace(payment(dollars=23), tax=-2 * DOLLAR), "wrong_amount"),
    ],
)
def test_a_payment_that_differs_is_refused_and_says_why(facts, because):
    assert refused(facts) == because


def test_an_account_that_is_nobody_at_stripe_is_paid_for_by_nobody():
    assert refused(replace(payment(), customer_id=None), customer_id=None) == "wrong_customer"


def test_a_payment_that_nobody_asked_for_is_refused():
    assert refused(payment(), asked=None) == "not_asked_for"


def test_test_money_buys_nothing_live():
    assert refused(payment(), livemode=True) == "wrong_livemode"


def test_only_a_payment_of_this_deployment_names_an_account():
    account_id = AccountId.new()
    named = replace(payment(), metadata={"account_id": account_id, "deployment": "d1"})
    assert account_named(named, deployment="d1") == account_id
    assert account_named(named, deployment="d2") is None
    assert account_named(payment(), deployment="d1") is None
    garbage = replace(payment(), metadata={"account_id": "acct_'; DROP", "deployment": "d1"})
    assert account_named(garbage, deployment="d1") is None
