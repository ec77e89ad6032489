from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.errors import MalformedRequest, ValidationFailed
from app.web.reading import DEPTH_MAX, read_json


def test_numbers_are_whole_or_exact_and_never_floats():
    assert read_json(b'{"a": 5, "b": 2.80, "c": -9007199254740991}') == {"a": 5, "b": Decimal("2.80"), "c": 1 - 2**53}
    assert type(read_json(b"0.1")) is Decimal


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"a": NaN}', "not_finite"),
        (b"[Infinity]", "not_finite"),
        (b"[-Infinity]", "not_finite"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "duplicate_key"),
        (b"9223372036854775808", "number_too_large"),
        (b"9007199254740992", "number_too_large"),
        (b"[" + b"9" * 5000 + b"]", "number_too_large"),
        (b"1e999999999", "number_too_large"),
        (b"1e-400", "number_too_large"),
        (b"0." + b"1" * 60, "number_too_large"),
        (b"[" * 33 + b"]" * 33, "too_deep"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "too_deep"),
        (b"[" * 200_000 + b"]" * 200_000, "too_deep"),
        (b'"\\u0000"', "character"),
        (b'{"\\u0000": 1}', "character"),
        (b'["\\ud800"]', "character"),
        (b'["\\udc00\\ud800"]', "character"),
    ],
)
def test_what_json_readers_disagree_about_is_refused(body, code):
    with pytest.raises(ValidationFailed) as refused:
        read_json(body)
    assert refused.value.errors[0]["code"] == code


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b"{'a': 1}", b"01", b'"\xed\xa0\x80"', b"1 2", b"\xef\xbb\xbf{}"])
def test_what_is_no_json_is_malformed(body):
    with pytest.raises(MalformedRequest):
        read_json(body)


def test_the_deepest_allowed_nesting_is_read():
    assert read_json(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
    assert read_json(json.dumps([[1]] * 100).encode()) == [[1]] * 100


def test_an_escaped_pair_of_surrogates_is_one_character():
    assert read_json(b'"\\ud83d\\ude00"') == "\U0001f600"


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(body):
    with suppress(MalformedRequest, ValidationFailed):
        read_json(body)


def test_a_refusal_repeats_nothing_of_the_body():
    with pytest.raises(ValidationFailed) as refused:
        read_json(b'{"canary": 1, "canary": 2}')
    assert "canary" not in json.dumps(refused.value.errors) + refused.value.detail
