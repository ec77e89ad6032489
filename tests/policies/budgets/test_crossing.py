"""The moment at which a budget is used up, against a walk second by second, also where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.kit.days import day_around, month_around, zone_named
from app.kit.ids import AccountId, RentalId
from app.kit.money import cost
from app.policies.budgets.crossing import crossing, used
from app.wallet import Meter

ACCOUNT = AccountId.new()
AT = datetime(2026, 3, 28, 21, 0, 0, 250_000, tzinfo=UTC)
HOUR, SECOND, INSTANT = timedelta(hours=1), timedelta(seconds=1), timedelta(microseconds=1)
BERLIN = partial(day_around, zone=zone_named("Europe/Berlin"))


def meter(rate: int, started: datetime = AT, *, charged_seconds: int = 0, **more) -> Meter:
    return Meter(
        account_id=ACCOUNT,
        rental_id=RentalId.new(),
        rate=rate,
        held=rate,
        charged=cost(rate, charged_seconds),
        billed_seconds=charged_seconds,
        base_seconds=0,
        earlier_seconds=0,
        earlier_charged=0,
        rate_changes=0,
        overrun_seconds=0,
        max_spend=None,
        started_at=started,
        settled_at=started + charged_seconds * SECOND,
        funded_until=None,
        ends_at=None,
        ends_because=None,
    )._replace(**more)


def cross(*meters: Meter, amount: int, settled: int = 0, around=BERLIN, at: datetime = AT) -> datetime | None:
    return crossing(meters, amount=amount, settled=settled, around=around, at=at)


def test_one_rental_reaches_its_budget_at_the_last_second_that_it_covers():
    assert cross(meter(3_600_000), amount=1_800_000) == AT + 1800 * SECOND
    assert cross(meter(3_600_000), amount=1_800_999) == AT + 1800 * SECOND
    assert cross(meter(3_600_000), amount=1_800_000, settled=800_000) == AT + 1000 * SECOND


def test_what_is_used_and_not_yet_captured_counts():
    late = meter(3_600_000, AT - HOUR, charged_seconds=3000)
    assert cross(late, amount=1_000_000, settled=0) == AT + 400 * SECOND


def test_a_budget_that_is_used_up_already_is_crossed_now():
    assert cross(meter(3_600_000), amount=1_000_000, settled=1_000_000) == AT
    assert cross(amount=5, settled=5) == AT
    assert cross(meter(1), amount=0) == AT


def test_nothing_runs_and_nothing_crosses():
    assert cross(amount=5, settled=4) is None
    assert cross(meter(10**6, started_at=None), amount=5) is None


def test_a_day_that_fits_is_followed_by_days_until_one_does_not():
    # Berlin's day has 23 hours on 29 March; $1 an hour is too much for a day's 23.5 on the 30th for the first time.
    assert cross(meter(1_000_000), amount=23_500_000) == datetime(2026, 3, 30, 21, 29, 58, 250_000, tzinfo=UTC)


def test_a_day_of_25_hours_crosses_what_24_do_not():
    autumn = datetime(2026, 10, 20, 12, tzinfo=UTC)
    found = cross(meter(1_000_000, autumn), amount=24_500_000, at=autumn)
    assert found == datetime(2026, 10, 25, 22, 30, tzinfo=UTC) - SECOND


def test_a_zone_that_is_half_an_hour_off_begins_its_day_there():
    kolkata = partial(day_around, zone=zone_named("Asia/Kolkata"))
    noon = datetime(2026, 5, 5, 12, tzinfo=UTC)
    midnight = datetime(2026, 5, 5, 18, 30, tzinfo=UTC)
    found = cross(meter(1_000_000, noon), amount=6_600_000, around=kolkata, at=noon)
    assert found == midnight + timedelta(hours=6.6) - SECOND


def test_half_an_hour_that_comes_twice_is_paid_twice():
    howe = partial(day_around, zone=zone_named("Australia/Lord_Howe"))
    start = datetime(2026, 4, 4, 13, tzinfo=UTC)  # midnight there; the 5th has 24.5 hours
    assert cross(meter(1_000_000, start), amount=24_499_000, around=howe, at=start) == start + 88_196 * SECOND
    shorter = datetime(2026, 10, 3, 13, 30, tzinfo=UTC)  # the 4th has 23.5
    ends = cross(meter(1_000_000, shorter), amount=23_600_000, around=howe, at=shorter)
    assert ends is not None
    assert ends > shorter + 23.6 * HOUR


def test_a_month_is_as_long_as_it_is():
    berlin = partial(month_around, zone=zone_named("Europe/Berlin"))
    february = datetime(2026, 2, 10, tzinfo=UTC)
    # 743 hours have March and, with an hour more, October; $1 an hour for 743 and a half fits into March.
    found = cross(meter(1_000_000, february), amount=743_500_000, around=berlin, at=february)
    assert found is not None
    assert (found.month, found.year) == (5, 2026)


def test_a_budget_that_never_begins_anew_is_looked_ahead_for_years():
    assert cross(meter(1_000_000), amount=20_000_000_000, around=None) == AT + 20_000 * HOUR
    assert cross(meter(1), amount=10**15, around=None) is None


def test_a_rental_whose_cap_has_passed_uses_nothing_more():
    stopped = meter(3_600_000, AT - HOUR, stop_by=AT - 1800 * SECOND, stop_by_because="budget_exceeded")
    assert used([stopped], since=None, at=AT) == 1_800_000
    other = meter(3_600_000)
    assert cross(stopped, other, amount=2_000_000) == AT + 200 * SECOND


def test_a_cap_that_has_not_passed_does_not_hide_the_crossing():
    capped = meter(3_600_000, stop_by=AT + SECOND, stop_by_because="budget_exceeded")
    assert cross(capped, amount=1_800_000) == AT + 1800 * SECOND


rates = st.sampled_from([1, 3599, 3601, 2_800_000]) | st.integers(1, 10**8)
starts = st.integers(0, 3_000_000).map(lambda ms: AT - timedelta(milliseconds=ms))
meters = st.builds(meter, rates, starts, charged_seconds=st.integers(0, 0))
zones = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"]).map(zone_named)


@given(
    st.lists(meters, min_size=1, max_size=4),
    st.integers(0, 4),
    zones,
    st.integers(0, 3 * 86_400),
    st.integers(0, 10**6),
)
@settings(max_examples=60)
def test_at_the_crossing_nothing_is_exceeded_and_at_the_next_second_it_is(found, hours, zone, seconds, settled):
    at, around = AT + seconds * SECOND, partial(day_around, zone=zone)
    amount = settled + sum(one.rate for one in found) * hours + 1
    last = crossing(found, amount=amount, settled=settled, around=around, at=at)
    since, until = around(at)
    if last is None:
        longest = used(found, since=until, at=until + 25 * HOUR)
        assert longest <= amount
        return
    first_day = last < until
    begins, before = (since, settled) if first_day else (around(last)[0], 0)
    if last > at:
        assert before + used(found, since=begins, at=last) <= amount
        assert first_day or settled + used(found, since=since, at=until - INSTANT) <= amount
    after = last + SECOND
    assert last == at or after >= around(last)[1] or before + used(found, since=begins, at=after) > amount
    # Nobody's clock moves it: asked again later, before it comes, it is the same moment.
    again = at + (last - at) / 2
    if again < until and last > at:
        assert crossing(found, amount=amount, settled=settled, around=around, at=again) in {last, again}


@given(rates, st.integers(1, 100_000), zones)
def test_a_day_at_a_time_gives_what_the_books_give_or_a_second_more(rate, offset, zone):
    """However captures fall, the books find no more in a day than the crossing reckoned with."""
    one = meter(rate, AT)
    since, until = day_around(AT + timedelta(days=1), zone)
    capture = since + offset * timedelta(milliseconds=37)
    exact = one.elapsed(capture) - one.elapsed(since)
    books = -((since - capture) // SECOND)  # whole seconds that end after the day's beginning
    reckoned = used([one], since=since, at=capture)
    assert reckoned >= cost(rate, one.elapsed(capture)) - cost(rate, one.elapsed(capture) - books)
    assert reckoned <= cost(rate, one.elapsed(capture)) - cost(rate, one.elapsed(capture) - exact - 1)
    assert until > since


@pytest.mark.parametrize("count", [1000])
def test_a_thousand_rentals_are_reckoned_without_a_walk(count):
    many = [meter(1_000_000 + n, AT - n * timedelta(milliseconds=777)) for n in range(count)]
    assert cross(*many, amount=10**9) is not None
    assert cross(*many, amount=10**12) is None
