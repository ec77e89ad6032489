from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.notifications.webhooks.retrying import GIVEN_UP_AFTER, again_at
from tests.conftest import START


def test_the_pauses_grow_from_five_seconds_and_the_last_try_comes_three_days_after_the_first():
    at, tries, pauses = START, 0, []
    while at is not None:
        tries += 1
        following = again_at(tries, since=START, at=at)
        if following is not None:
            pauses.append((following - at).total_seconds())
        last, at = at, following
    assert last == START + GIVEN_UP_AFTER
    expected = [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800]
    assert all(0.8 * want <= pause <= 1.2 * want for want, pause in zip(expected, pauses, strict=False))
    assert max(pauses) <= 43_200 * 1.2
    assert 13 <= tries <= 18


def test_what_failed_together_does_not_come_back_together():
    assert len({again_at(3, since=START, at=START) for _ in range(50)}) > 40


@given(st.integers(min_value=0, max_value=10**6), st.timedeltas(timedelta(0), timedelta(days=10)))
def test_a_try_lies_ahead_and_never_beyond_the_third_day(tries, later):
    following = again_at(tries, since=START, at=START + later)
    if later >= GIVEN_UP_AFTER:
        assert following is None
    else:
        assert START + later < following <= START + GIVEN_UP_AFTER


@pytest.mark.parametrize(
    ("status", "said", "seconds"),
    [
        (429, "60", 60), (503, " 3600 ", 3_600), (503, "999999", 43_200), (503, "9999999", 6), (500, "60", 6), (429, "-5", 6),
        (429, "soon", 6), (429, "", 6), (429, "\u0665", 6), (429, "Wed, 21 Oct 2030 07:28:00 GMT", 6), (429, "1e3", 6),
    ],
)  # fmt: skip
def test_who_asks_to_wait_is_believed_within_bounds(status, said, seconds):
    following = again_at(1, since=START, at=START, status=status, headers={"retry-after": said})
    assert following - START <= timedelta(seconds=seconds)
    if seconds > 6:
        assert following - START == timedelta(seconds=seconds)
