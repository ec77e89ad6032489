"""The paper: what it can show, and what it says of a month with everything in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app.kit.ids import AccountId, PaymentId
from app.statements import Balances, Line, Month, Span, Statement
from app.statements.contents import PAYMENTS_MAX, Contents
from app.statements.paper import printed
from app.statements.paying import Paid
from app.statements.sheets import duration, in_print
from app.statements.summing import Totals

from .reading import read_pdf

MARCH = Month(2026, 3)
STATEMENT = Statement(
    Span(AccountId("acct_01J00000000000000000000000"), MARCH, 9),
    MARCH.ends_at,
    final=True,
    opening=Balances(12_345_678, 0, 0),
    lines=(
        Line("clawback", 1, 12_345_678, Balances(-12_345_678, 0, 0)),
        Line("debt_incurred", 1, 4_000_001, Balances(0, 0, 4_000_001)),
        Line("a_kind_to_come", 2, 7, Balances(0, 7, 0)),
    ),
    usage=Totals(0, 0, 0, 0),
)


def paid(n, **more):
    at = MARCH.starts_at + timedelta(minutes=n)
    return Paid(PaymentId.new(), at, 25_000_000, 27_500_000, 2_500_000, "visa", "4242", **more)


def contents(**changed):
    known = {"account_name": "Ada", "addresses": ["ada@example.com"], "payments": [], "rentals": []}
    return Contents(STATEMENT, **(known | changed))


def test_what_is_owed_is_told_and_a_kind_of_later_too():
    words, pages = read_pdf(printed(contents()))
    text = " ".join(words)
    assert pages == 1
    assert "Owed to Hourglass at the end 4.000001" in text
    assert "A kind to come 2 0.000007 +0.000007 0.00" in text
    assert "Debt incurred 1 4.000001 0.00 +4.000001" in text
    assert "Credited" not in words
    assert "rental" not in words


def test_a_month_in_which_nothing_moved_says_so():
    still = replace(STATEMENT, lines=())
    words, _ = read_pdf(printed(replace(contents(), statement=still)))
    assert "No money moved." in " ".join(words)


def test_payments_lead_to_their_receipts_and_nowhere_else():
    url = "https://pay.example.com/receipts/1"
    payments = [paid(1, receipt_url=url), paid(2, receipt_url="javascript:alert(1)"), paid(3)]
    content = printed(contents(payments=payments))
    words, _ = read_pdf(content)
    assert {payment.payment_id for payment in payments} <= set(words)
    assert words.count("27.50") == 3
    assert url.encode() in content
    assert b"javascript" not in content


def test_more_payments_than_fit_are_said_to_be_elsewhere():
    payments = [paid(n) for n in range(PAYMENTS_MAX + 1)]
    words, pages = read_pdf(printed(contents(payments=payments)))
    assert "There are more payments" in " ".join(words)
    assert sum(payment.payment_id in words for payment in payments) == PAYMENTS_MAX
    assert f"Page {pages} of {pages}" in " ".join(words)


def test_the_same_statement_is_the_same_bytes():
    assert printed(contents()) == printed(contents())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ada & Co. <b>", "Ada & Co. <b>"),
        ("Łódź Ünïcödé", "Lódz Ünïcödé"),
        ("計算", "??"),
        ("a\nb\x00c\u202e", "a b c "),
        ("€ “quoted”", "€ “quoted”"),
    ],
)
def test_a_name_is_shown_as_far_as_the_font_goes(name, shown):
    assert in_print(name) == shown
    words, _ = read_pdf(printed(contents(account_name=name)))
    assert shown.split()[0] in words


def test_a_name_of_any_length_leaves_the_page_whole():
    words, pages = read_pdf(printed(contents(account_name="x" * 10_000, addresses=["a@example.com"] * 50)))
    assert pages == 1
    assert words.count("a@example.com") == 3


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00"), (59, "0:00:59"), (3_600, "1:00:00"), (360_061, "100:01:01")]
)
def test_a_time_is_hours_minutes_and_seconds(seconds, text):
    assert duration(seconds) == text
