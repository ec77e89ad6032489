"""What an entry keeps, what it never keeps, and the bytes that stand for it for ever."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from app import audit
from app.audit.entries import HIDDEN, canonical, link, origin_of, plain
from app.audit.witnessing import action_of

AT = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)


def test_only_what_differs_is_told_of_a_change() -> None:
    told = audit.changes({"a": 1, "b": 2, "gone": 3}, {"a": 1, "b": None, "new": 4})
    assert told == {"before": {"b": 2, "gone": 3}, "after": {"b": None, "new": 4}}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (AT, "2026-03-01T12:00:00.000005Z"),
        (AT.astimezone(timezone(timedelta(hours=5, minutes=30))), "2026-03-01T12:00:00.000005Z"),
        (Decimal("0.10"), "0.10"),
        (1.5, "1.5"),
        ({"b", "a"}, ["a", "b"]),
        (("x", 1, None), ["x", 1, None]),
        (b"bytes", HIDDEN),
        ("nul \0 and half \ud800", "nul \ufffd and half \ufffd"),
        ("x" * 5_000, "x" * 4_096 + "…"),
    ],
)
def test_values_are_kept_as_json_that_reads_back_the_same(given, kept) -> None:
    assert plain({"value": given}) == {"value": kept}
    assert json.loads(json.dumps(plain(given))) == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"env": {"TOKEN": "x", "A": "y"}}, {"env": ["A", "TOKEN"]}),
        ({"secrets": {"K": "x"}}, {"secrets": ["K"]}),
        ({"startup_script": "curl -H secret"}, {"startup_script": HIDDEN}),
        ({"webhook_secret": "whsec_x"}, {"webhook_secret": HIDDEN}),
        ({"deep": [{"password": "x"}]}, {"deep": [{"password": HIDDEN}]}),
        ({"token": None}, {"token": None}),
        ({"note": "the key hg_live_0123456789abcdef leaked"}, {"note": f"the key {HIDDEN} leaked"}),
        ({"checkpoint_uri": "s3://key:secret@host"}, {"checkpoint_uri": HIDDEN}),
    ],
)
def test_what_is_secret_is_named_and_not_kept(given, kept) -> None:
    assert plain(given) == kept


def test_the_canonical_bytes_are_these_for_ever() -> None:
    text = canonical(["acct_1", "aud_1", AT, "key_1", None, "a.b", "t", None, "req", None], {"z": "é", "a": [1, True]})
    assert text == (
        b'["acct_1","aud_1","2026-03-01T12:00:00.000005Z","key_1",null,"a.b","t",null,"req",null,{"a":[1,true],"z":"\\u00e9"}]'
    )
    told = link(origin_of("acct_1"), text).hex()
    assert told == "f9341817f366d23ab8aa4f9274a6a38a49be3bb8f5ad4fcd3ae33a8ee29387a3"


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("create_ssh_key", "ssh_key.created"),
        ("set_auto_topup", "auto_topup.set"),
        ("stop_rental", "rental.stopped"),
        ("leave_account", "account.left"),
        ("add_rental_ssh_key", "rental_ssh_key.added"),
        ("rotate_api_key", "api_key.rotated"),
        ("do", "account.doed"),
    ],
)
def test_an_operation_is_told_as_a_thing_and_a_deed(operation, action) -> None:
    assert action_of(operation) == action
