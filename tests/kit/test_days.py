"""Local days, against a walk along the clock minute by minute where clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.days import day_around, day_of, month_around, start_of_day, week_around, zone_named

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",  # midnight comes twice in autumn, and not at all in spring
    "America/Santiago",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # half an hour is put forward
    "Pacific/Chatham",
    "Pacific/Apia",
]
zones = st.sampled_from(ZONES).map(zone_named)
moments = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001 - given UTC at once


@given(moments, zones)
def test_a_day_holds_its_moment_and_nothing_of_its_neighbours(at, zone):
    start, end = day_around(at, zone)
    assert start <= at < end
    assert timedelta(hours=23) <= end - start <= timedelta(hours=25)
    day = day_of(at, zone)
    instant = timedelta(microseconds=1)
    assert day_of(start, zone) == day_of(end - instant, zone) == day
    assert day_of(start - instant, zone) < day < day_of(end, zone)


@given(moments, zones)
def test_days_follow_one_another_without_a_gap(at, zone):
    _, end = day_around(at, zone)
    assert day_around(end, zone)[0] == end


@given(moments, zones)
def test_a_month_and_a_week_are_whole_days(at, zone):
    for around in (month_around, week_around):
        start, end = around(at, zone)
        assert start <= at < end
        assert start == day_around(start, zone)[0]
        assert around(end, zone)[0] == end
    assert day_of(month_around(at, zone)[0], zone).day == 1
    assert day_of(week_around(at, zone)[0], zone).weekday() == 0


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/New_York", date(2026, 3, 8), 23),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
        ("America/Havana", date(2026, 11, 1), 25),
        ("Asia/Kolkata", date(2026, 3, 29), 24),
    ],
)
def test_a_day_on_which_clocks_change_has_its_own_length(zone, day, hours):
    start, end = day_around(start_of_day(day, zone_named(zone)), zone_named(zone))
    assert end - start == timedelta(hours=hours)


def test_a_day_begins_when_the_clock_is_put_forward_over_midnight():
    assert start_of_day(date(2026, 9, 6), zone_named("America/Santiago")) == datetime(2026, 9, 6, 4, tzinfo=UTC)


def test_a_date_that_never_was_has_no_midnight():
    apia = zone_named("Pacific/Apia")
    eve = datetime(2011, 12, 30, 5, tzinfo=UTC)
    assert day_around(eve, apia)[1] == datetime(2011, 12, 30, 10, tzinfo=UTC)
    assert day_of(day_around(eve, apia)[1], apia) == date(2011, 12, 31)


def test_a_zone_that_does_not_exist_is_refused():
    for name in ("Europe/Atlantis", "", "../etc/passwd", "a" * 300, "Europe/Berlin\0"):
        with pytest.raises(ValueError, match="time zone"):
            zone_named(name)
