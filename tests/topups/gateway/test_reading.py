"""Reading Stripe's objects: right where they are right, and never anything but facts or a refusal where they are not."""

from __future__ import annotations

import copy
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.reading import Malformed
from app.topups.gateway import reading

CARD = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030, "fingerprint": "abc"}
CHARGE = {
    "id": "ch_1", "amount": 1000, "amount_refunded": 250, "disputed": False, "receipt_url": "https://pay.example/r",
    "payment_method": "pm_1", "customer": "cus_1", "payment_method_details": {"type": "card", "card": CARD},
}  # fmt: skip
INTENT = {
    "id": "pi_1", "customer": "cus_1", "status": "succeeded", "amount": 1000, "amount_received": 1000,
    "currency": "usd", "livemode": False, "metadata": {"account_id": "acct_1"}, "created": 1_772_366_400,
    "latest_charge": CHARGE, "last_payment_error": None,
}  # fmt: skip
MOVED = {
    "id": "txn_1", "type": "adjustment", "reporting_category": "dispute", "amount": -1000, "fee": 1500, "net": -2500,
    "currency": "usd", "source": "du_1", "created": 1_772_366_400,
}  # fmt: skip
DISPUTE = {
    "id": "du_1", "amount": 1000, "currency": "usd", "status": "needs_response", "reason": "fraudulent",
    "evidence_details": {"due_by": 1_772_966_400}, "balance_transactions": [MOVED], "is_charge_refundable": False,
    "created": 1_772_366_400, "payment_intent": "pi_1", "charge": {"id": "ch_1", "object": "charge"},
}  # fmt: skip
REFUND = {
    "id": "re_1", "amount": 250, "currency": "usd", "status": "succeeded", "metadata": {}, "failure_reason": None,
    "created": 1_772_366_400, "payment_intent": "pi_1", "charge": "ch_1",
}  # fmt: skip
SESSION = {
    "id": "cs_1", "mode": "payment", "status": "complete", "payment_status": "paid", "amount_total": 1000,
    "total_details": {"amount_tax": 80}, "currency": "usd", "payment_intent": "pi_1", "setup_intent": None,
    "url": None, "customer": "cus_1", "client_reference_id": "chk_1", "livemode": False, "metadata": {},
    "expires_at": 1_772_366_400,
}  # fmt: skip
EVENT = {
    "id": "evt_1", "object": "event", "type": "charge.refunded", "api_version": "2026-10-28.endive",
    "created": 1_772_366_400, "livemode": False, "data": {"object": CHARGE},
}  # fmt: skip
METHOD = {"id": "pm_1", "type": "card", "card": CARD, "customer": "cus_1"}
SETUP = {"id": "seti_1", "status": "succeeded", "payment_method": "pm_1", "customer": "cus_1", "livemode": False}


def payment(found):
    return reading.payment(found, tax=0, refunds=(), disputes=())


OBJECTS = {
    "charge": (reading.charge, CHARGE),
    "payment": (payment, INTENT),
    "dispute": (reading.dispute, DISPUTE),
    "refund": (reading.refund, REFUND),
    "session": (reading.session, SESSION),
    "event": (reading.event, EVENT),
    "card": (reading.card, METHOD),
    "setup": (reading.setup, SETUP),
    "balance": (reading.balance_transaction, MOVED),
}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.sampled_from(["\0", "\ud800", "x" * 300, 2**70, -1, "1000", [], {}]),
)


def test_amounts_become_micro_dollars() -> None:
    facts = payment(INTENT)
    assert (facts.amount, facts.amount_received) == (10_000_000, 10_000_000)
    assert (facts.charge.amount, facts.charge.amount_refunded) == (10_000_000, 2_500_000)
    assert (facts.charge.card.last4, facts.charge.card.id) == ("4242", "pm_1")
    assert reading.refund(REFUND).amount == 2_500_000
    assert reading.session(SESSION).amount_tax == 800_000
    assert reading.cents(2_500_000) == 250


def test_the_fee_of_a_dispute_is_not_what_was_withdrawn() -> None:
    back = MOVED | {"id": "txn_2", "amount": 1000, "net": 1000, "fee": 0}
    facts = reading.dispute(DISPUTE | {"balance_transactions": [MOVED, back]})
    assert (facts.withdrawn, facts.reinstated) == (10_000_000, 10_000_000)
    assert facts.charge_id == "ch_1"
    assert facts.due_by == datetime(2026, 3, 8, 10, 40, tzinfo=UTC)


def test_a_dispute_in_another_currency_is_not_read_as_dollars() -> None:
    with pytest.raises(Malformed):
        reading.dispute(DISPUTE | {"balance_transactions": [MOVED | {"currency": "eur"}]})


def test_what_is_no_card_has_no_card() -> None:
    assert reading.card(METHOD | {"type": "us_bank_account", "card": None}) is None
    facts = reading.charge(CHARGE | {"payment_method_details": {"type": "us_bank_account"}})
    assert facts.card is None


def test_states_that_nobody_knows_are_no_error() -> None:
    assert payment(INTENT | {"status": "requires_telepathy"}).status == "requires_telepathy"
    assert reading.refund(REFUND | {"status": None}).status == "pending"


def test_a_thin_event_is_none() -> None:
    for thin in (EVENT | {"object": "v2.core.event"}, EVENT | {"data": {}}, {**EVENT, "data": None}):
        with pytest.raises(Malformed):
            reading.event(thin)


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("field", ["amount", "id", "livemode", "created", "currency"])
def test_a_missing_field_that_moves_money_is_refused(name, field) -> None:
    read, found = OBJECTS[name]
    if field in found and (name, field) != ("session", "currency"):  # its payment has one of its own
        with pytest.raises(Malformed):
            read({key: value for key, value in found.items() if key != field})


@given(data=st.data())
def test_whatever_comes_is_facts_or_malformed(data) -> None:
    read, found = OBJECTS[data.draw(st.sampled_from(sorted(OBJECTS)))]
    spoilt = copy.deepcopy(found)
    for _ in range(data.draw(st.integers(1, 3))):
        place = spoilt
        while True:
            key = data.draw(st.sampled_from(sorted(place)))
            if isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
                place = place[key]
                continue
            place[key] = data.draw(JUNK)
            break
        if not spoilt:
            break
    with suppress(Malformed):
        read(spoilt)
