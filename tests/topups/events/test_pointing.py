"""What an event points at."""

from __future__ import annotations

import pytest

from app.topups.events.pointing import TYPES, Pointer, Target, pointer_of


def test_the_types_are_exactly_as_many_as_one_listing_can_ask_for():
    assert len(TYPES) == 20


@pytest.mark.parametrize(
    ("event_type", "obj", "pointer"),
    [
        ("payment_intent.succeeded", {"id": "pi_1"}, Pointer(Target.PAYMENT, "pi_1")),
        ("checkout.session.completed", {"id": "cs_1", "payment_intent": "pi_1"}, Pointer(Target.SESSION, "cs_1")),
        ("setup_intent.succeeded", {"id": "seti_1"}, Pointer(Target.SETUP, "seti_1")),
        ("payment_method.detached", {"id": "pm_1", "customer": None}, Pointer(Target.CARD, "pm_1")),
        ("charge.refunded", {"id": "ch_1", "payment_intent": "pi_1"}, Pointer(Target.PAYMENT, "pi_1")),
        ("charge.refunded", {"id": "ch_1", "payment_intent": None}, Pointer(Target.PAYMENT, "ch_1", by_charge=True)),
        ("refund.failed", {"id": "re_1", "payment_intent": {"id": "pi_1"}}, Pointer(Target.PAYMENT, "pi_1")),
        ("charge.dispute.closed", {"id": "dp_1", "charge": "ch_1"}, Pointer(Target.PAYMENT, "ch_1", by_charge=True)),
        (
            "radar.early_fraud_warning.created",
            {"id": "issfr_1", "charge": "ch_1", "payment_intent": "pi_1"},
            Pointer(Target.FRAUD_WARNING, "pi_1"),
        ),
        (
            "radar.early_fraud_warning.created",
            {"id": "issfr_1", "charge": "ch_1"},
            Pointer(Target.FRAUD_WARNING, "ch_1", by_charge=True),
        ),
    ],
)
def test_an_event_points_at_the_object_to_look_at(event_type, obj, pointer):
    assert pointer_of(event_type, obj) == pointer


@pytest.mark.parametrize("event_type", TYPES)
@pytest.mark.parametrize("value", [None, 7, "", "pi 1", "pi_1\n", "../customers", "é", ["pi_1"], {"id": 7}])
def test_what_is_no_id_points_at_nothing(event_type, value):
    assert pointer_of(event_type, {"id": value, "payment_intent": value, "charge": value}) is None


@pytest.mark.parametrize("event_type", TYPES)
def test_every_type_that_we_subscribe_to_points_at_something(event_type):
    assert pointer_of(event_type, {"id": "a", "payment_intent": "b", "charge": "c"}) is not None


def test_another_type_points_at_nothing():
    assert pointer_of("invoice.paid", {"id": "in_1", "payment_intent": "pi_1", "charge": "ch_1"}) is None
