"""The checker itself: what it lets through, and what it finds once something is spoilt."""

import copy

import pytest

from tests.sandbox.stripe.annotations import faults_of
from tests.sandbox.stripe.kinds import KINDS


def leaves(value, path=()):
    """Yield the path to every value within a value, but for free-form parts."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield (*path, name)
            if name not in {"metadata", "previous_attributes", "use_stripe_sdk"}:
                yield from leaves(item, (*path, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from leaves(item, (*path, place))


def changed(value, path, change):
    value = copy.deepcopy(value)
    place = value
    for part in path[:-1]:
        place = place[part]
    change(place, path[-1])
    return value


def spoilt(value):
    """A value of another type."""
    if isinstance(value, bool) or value is None:
        return "wrong"
    return 7 if isinstance(value, str) else "wrong"


async def test_every_kind_passes_as_it_is(samples):
    assert {kind: faults_of(obj) for kind, obj in samples.items()} == {kind: [] for kind in KINDS}


async def test_a_field_that_is_not_stripe_s_is_found_everywhere(samples):
    for obj in samples.values():
        for path in leaves(obj):
            inner = obj
            for part in path:
                inner = inner[part]
            if isinstance(inner, dict) and path[-1] not in {"metadata", "previous_attributes"}:
                assert faults_of(changed(obj, path, lambda place, part: place[part].update(own_idea=1))), path
        assert faults_of(obj | {"own_idea": 1})


async def test_a_value_of_another_type_is_found(samples):
    missed, tried = [], 0
    for kind, obj in samples.items():
        for path in leaves(obj):
            value = obj
            for part in path:
                value = value[part]
            if value is None:
                continue
            tried += 1
            wrong = spoilt(value)
            if not faults_of(changed(obj, path, lambda place, part, new=wrong: place.__setitem__(part, new))):
                missed.append((kind, *path))
    assert tried > 250
    assert missed == []


async def test_what_must_be_there_is_missed(samples):
    found = {}
    for kind, obj in samples.items():
        gone = [path[0] for path in leaves(obj) if len(path) == 1 and faults_of(changed(obj, path, dict.__delitem__))]
        found[kind] = set(gone)
    assert found["refund"] >= {"amount", "created", "currency", "id", "object"}
    assert found["payment_intent"] >= {"amount", "amount_received", "capture_method", "livemode", "metadata", "status"}
    assert found["dispute"] >= {"balance_transactions", "charge", "evidence_details", "is_charge_refundable", "reason"}
    assert found["event"] >= {"created", "data", "id", "livemode", "pending_webhooks", "type"}


@pytest.mark.parametrize(
    ("kind", "path", "word"),
    [
        ("payment_intent", ("status",), "paid"),
        ("checkout.session", ("payment_status",), "done"),
        ("charge", ("outcome", "advice_code"), "never_mind"),
        ("dispute", ("status",), "open"),
        ("balance_transaction", ("type",), "gift"),
        ("event", ("type",), "charge.eaten"),
        ("refund", ("pending_reason",), "lazy"),
    ],
)
async def test_a_word_that_is_none_of_stripe_s_is_found(samples, kind, path, word):
    def say(place, part):
        place[part] = word

    assert faults_of(changed(samples[kind], path, say))


def test_errors_lists_and_things_unknown_are_told_apart():
    assert faults_of({"error": {"message": "no", "type": "invalid_request_error"}}) == []
    assert faults_of({"error": {"message": "no"}}) == ["error.type: missing"]
    assert faults_of({"error": {"type": "card_error", "reason": "?"}}) == ["error.reason: no such field"]
    assert faults_of({"object": "list", "data": [], "has_more": False, "url": "/v1/x"}) == []
    assert faults_of({"object": "list", "data": [], "has_more": False})
    assert faults_of({"object": "unicorn"})
    assert faults_of([])
    assert faults_of({"id": "cus_1", "object": "customer", "deleted": True}) == []


def test_an_event_tells_only_of_fields_that_its_object_has():
    event = {
        "id": "evt_1", "object": "event", "api_version": None, "created": 1, "livemode": False, "pending_webhooks": 0,
        "request": None, "type": "refund.updated",
        "data": {
            "object": {"id": "re_1", "object": "refund", "amount": 1, "created": 1, "currency": "usd"},
            "previous_attributes": {"status": "pending", "mood": "sad"},
        },
    }  # fmt: skip
    assert faults_of(event) == ["refund.updated: previous mood"]
