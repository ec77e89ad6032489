from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.wallet.meter import slot_of
from app.wallet.wheel import FULL_CIRCLE, passed_slots

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@given(st.integers(0, 10**6), st.integers(0, 2_000_000))
def test_every_second_that_passed_lies_in_the_slots_and_no_other(start_ms, span_ms):
    since = AT + timedelta(milliseconds=start_ms)
    at = since + timedelta(milliseconds=span_ms)
    slots = {slot for first, last in passed_slots(since, at) for slot in range(first, last + 1)}
    seconds = range(int(since.timestamp()) + 1, int(at.timestamp()) + 1)
    assert slots == {second % 600 for second in seconds}


def test_the_first_look_takes_the_full_circle():
    assert passed_slots(None, AT) == FULL_CIRCLE


def test_a_clock_that_jumped_takes_the_full_circle():
    assert passed_slots(AT, AT - timedelta(seconds=1)) == FULL_CIRCLE
    assert passed_slots(AT, AT + timedelta(hours=3)) == FULL_CIRCLE


def test_the_end_of_a_month_takes_the_full_circle():
    assert passed_slots(datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)) == FULL_CIRCLE
    assert passed_slots(datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 4, 1, 0, 0, 5, tzinfo=UTC)) == ((1, 5),)


def test_two_looks_one_after_the_other_leave_no_slot_out():
    moments = [AT + timedelta(seconds=7.3 * n) for n in range(200)]
    seen = set()
    for since, at in pairwise(moments):
        seen |= {slot for first, last in passed_slots(since, at) for slot in range(first, last + 1)}
    assert seen == set(range(600))
    assert slot_of(AT) == 0
