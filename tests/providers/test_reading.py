from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.reading import (
    Malformed,
    floored,
    host,
    maybe,
    moment,
    name,
    port,
    price_micros,
    read_json,
    text,
    whole,
)


def test_numbers_keep_every_digit():
    assert read_json(b'{"price": 0.1234567, "n": 3}') == {"price": Decimal("0.1234567"), "n": 3}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"<html>busy</html>",
        b'{"a": 1} trailing',
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e99999999999999999999}',
        b"[" * 100_000,
        b"1" * 5_000,
        b'{"a": "\xff"}',
    ],
)
def test_what_is_no_json_is_malformed(body):
    with pytest.raises(Malformed):
        read_json(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_malformed(body):
    with suppress(Malformed):
        read_json(body)


def test_whole_takes_integral_decimals_but_no_booleans_texts_or_parts():
    assert whole(Decimal("2.0")) == 2
    for value in (True, "2", Decimal("2.5"), None, -1, 2**60, Decimal("1e999999")):
        with pytest.raises(Malformed):
            whole(value)


def test_floored_rounds_down():
    assert floored(Decimal("900.9")) == 900


def test_prices_round_up_to_the_micro_dollar_and_have_a_ceiling():
    assert price_micros(Decimal("0.0000001")) == 1
    for value in (Decimal("1e20"), -1, "0.3", None):
        with pytest.raises(Malformed):
            price_micros(value)


def test_text_loses_what_can_not_be_stored_or_misleads():
    assert text("a\x00b\n\u202ec\ud800d") == "a b c d"
    assert text("x" * 1000, longest=10) == "x" * 10


def test_a_name_is_taken_as_it_stands_or_not_at_all():
    assert name("RTX 4090") == "RTX 4090"
    for value in ("", " ", "a\x00", "x" * 200, 5):
        with pytest.raises(Malformed):
            name(value)


def test_ports_come_as_digits_or_numbers():
    assert port("40022") == port(40022) == 40022
    for value in ("0", 0, 65536, "70000", "22 ", "٢٢", True):
        with pytest.raises(Malformed):
            port(value)


def test_hosts_are_names_or_addresses():
    assert host("ssh5.vast.ai") == "ssh5.vast.ai"
    assert host("2001:db8::1") == "2001:db8::1"
    for value in ("", "-oProxyCommand=x", "a b", "a/b", "a@b"):
        with pytest.raises(Malformed):
            host(value)


def test_moments_are_seconds_since_1970():
    assert moment(1_790_000_000) == datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    with pytest.raises(Malformed):
        moment(10**15)


def test_maybe_gives_none_for_what_is_missing_or_malformed():
    assert maybe(whole, None) is None
    assert maybe(whole, "x") is None
    assert maybe(whole, 3) == 3
