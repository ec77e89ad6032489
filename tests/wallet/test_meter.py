"""The meter's arithmetic, against fractions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil

from hypothesis import example, given
from hypothesis import strategies as st

from app.kit.ids import AccountId, RentalId
from app.kit.money import cost, seconds_covered
from app.wallet.meter import Meter, share, slot_of
from app.wallet.settling import paid_up, settled

START = datetime(2026, 3, 1, 12, 0, 7, 250_000, tzinfo=UTC)
ACCOUNT = AccountId.new()

rates = st.sampled_from([1, 3599, 3600, 3601, 120_000, 2_800_000, 12_000_000]) | st.integers(1, 10**9)
moments = st.lists(st.integers(0, 90_000_000).map(lambda ms: START + timedelta(milliseconds=ms)), max_size=12)


def meter(*, rate=2_800_000, held=None, max_spend=None, started=START) -> Meter:
    running = Meter(
        account_id=ACCOUNT,
        rental_id=RentalId.new(),
        rate=rate,
        held=rate if held is None else held,
        charged=0,
        billed_seconds=0,
        base_seconds=0,
        earlier_seconds=0,
        earlier_charged=0,
        rate_changes=0,
        overrun_seconds=0,
        max_spend=max_spend,
        started_at=started,
        settled_at=started,
        funded_until=None,
        ends_at=None,
        ends_because=None,
    )
    return running.renewed(0)


@given(rate=rates, seconds=st.integers(0, 10**7))
def test_a_charge_is_at_most_one_micro_dollar_below_the_exact_cost(rate, seconds):
    assert 0 <= Fraction(rate * seconds, 3600) - cost(rate, seconds) < 1


@given(rate=rates, micros=st.integers(0, 10**12))
def test_seconds_covered_are_the_most_that_an_amount_pays_for(rate, micros):
    seconds = seconds_covered(rate, micros)
    assert cost(rate, seconds) <= micros < cost(rate, seconds + 1)
    assert seconds == ceil(Fraction((micros + 1) * 3600, rate)) - 1


@given(rate=rates)
def test_one_hour_costs_exactly_the_reserve(rate):
    assert cost(rate, 3600) == rate
    assert seconds_covered(rate, rate) >= 3600


@given(rate=rates, stops=moments, end=st.integers(0, 90_000_000))
@example(rate=2_800_000, stops=[START + timedelta(hours=1), START + timedelta(hours=1)], end=3_600_001)
def test_any_split_of_the_settlements_gives_the_same_bill(rate, stops, end):
    until = START + timedelta(milliseconds=end)
    available, running, usage = 40 * rate, meter(rate=rate), 0
    for at in sorted(stop for stop in stops if stop <= until):
        step = settled([running], available=available, at=at)
        available -= sum(m.amount for m in step.movements if m.kind == "reserve_renew")
        usage += sum(m.amount for m in step.movements if m.kind == "usage")
        [running] = step.meters
        assert running.held == rate
    last = paid_up([running], available=available, at=until)
    usage += sum(m.amount for m in last.movements if m.kind == "usage")
    assert usage == last.meters[0].charged == cost(rate, end // 1000)
    assert last.meters[0].overrun_seconds == 0


@given(rate=rates, part=st.fractions(0, 1), stops=moments)
def test_a_hold_that_nothing_refills_pays_its_last_whole_second_and_no_more(rate, part, stops):
    held = int(rate * part)
    running = meter(rate=rate, held=held)
    funded = running.funded_until
    for at in sorted(stops):
        [running] = settled([running], available=0, at=at).meters
        assert running.charged <= held
        assert running.billed_seconds + running.overrun_seconds == running.elapsed(at)
        assert (running.overrun_seconds > 0) == (running.elapsed(at) > seconds_covered(rate, held))
        if not running.overrun_seconds:
            assert running.funded_until == funded


@given(rate=rates, limit=st.integers(1, 10**8), stops=moments)
def test_max_spend_is_never_passed(rate, limit, stops):
    running = meter(rate=rate, held=min(rate, limit), max_spend=limit)
    available = 10**12
    for at in sorted(stops):
        step = settled([running], available=available, at=at)
        [running] = step.meters
        assert running.charged + running.held <= limit
        assert running.ends_because == (None if running.held == rate else "max_spend")


@given(rate=rates, ahead=st.integers(1, 10_000), back=st.integers(1, 10_000))
def test_a_clock_that_goes_back_takes_nothing_back(rate, ahead, back):
    before = meter(rate=rate).captured(START + timedelta(seconds=ahead))
    after = before.captured(START + timedelta(seconds=ahead - back))
    assert (after.charged, after.billed_seconds, after.held) == (before.charged, before.billed_seconds, before.held)
    assert after.settled_at == before.settled_at


def test_what_was_written_off_is_never_billed_when_money_comes():
    drained = meter(held=cost(2_800_000, 600))
    [drained] = settled([drained], available=0, at=START + timedelta(seconds=700)).meters
    assert (drained.billed_seconds, drained.overrun_seconds) == (600, 100)
    [again] = settled([drained], available=10**8, at=START + timedelta(seconds=700)).meters
    [later] = settled([again], available=10**8, at=START + timedelta(seconds=800)).meters
    assert (later.billed_seconds, later.overrun_seconds) == (700, 100)
    assert later.charged == cost(2_800_000, 700)


def test_a_settlement_hours_late_fetches_the_money_that_punctual_ones_would_have():
    step = settled([meter()], available=100_000_000, at=START + timedelta(hours=5, seconds=11))
    [after] = step.meters
    assert after.charged == cost(2_800_000, 5 * 3600 + 11)
    assert after.overrun_seconds == 0
    assert len({m.idempotency_key for m in step.movements}) == len(step.movements)


def test_usage_is_split_where_months_of_utc_end():
    begun = datetime(2026, 1, 31, 23, 59, 30, tzinfo=UTC)
    at = datetime(2026, 3, 1, 0, 0, 10, tzinfo=UTC)
    step = settled([meter(started=begun)], available=10**12, at=at)
    usage = [m for m in step.movements if m.kind == "usage"]
    january = sum(m.amount for m in usage if m.at < datetime(2026, 2, 1, tzinfo=UTC))
    march = sum(m.amount for m in usage if m.at >= datetime(2026, 3, 1, tzinfo=UTC))
    assert january == cost(2_800_000, 30)
    seconds = 30 + 28 * 86_400
    assert march == cost(2_800_000, seconds + 10) - cost(2_800_000, seconds)
    assert sum(m.amount for m in usage) == cost(2_800_000, seconds + 10)


@given(st.lists(st.tuples(st.integers(1, 10**7), st.integers(0, 3600)), min_size=1, max_size=6), st.integers(0, 10**8))
def test_what_is_available_goes_to_the_hold_that_ends_first(holds, available):
    meters = [meter(rate=rate, held=cost(rate, seconds)) for rate, seconds in holds]
    grants = share(available, meters)
    assert sum(grants) == min(available, sum(m.wanted() for m in meters))
    order = [n for n in range(len(meters)) if meters[n].wanted()]
    order.sort(key=lambda n: (meters[n].money_ends(), meters[n].rental_id))
    full = [grants[n] == meters[n].wanted() for n in order]
    assert full == sorted(full, reverse=True)
    assert sum(0 < grants[n] < meters[n].wanted() for n in order) <= 1


def test_a_stop_is_due_a_minute_before_the_money_ends():
    drained = meter(held=cost(2_800_000, 600))
    assert drained.funded_until == START + timedelta(seconds=600)
    assert drained.ends_at == START + timedelta(seconds=540)
    assert drained.ends_because == "wallet_empty"
    assert drained._replace(held=2_800_000).renewed(0).ends_at is None


def test_a_slot_is_the_second_within_ten_minutes():
    assert slot_of(datetime(2026, 3, 1, 12, 20, 7, 999_999, tzinfo=UTC)) == 7
    assert slot_of(datetime(2026, 3, 1, 12, 29, 59, tzinfo=UTC)) == 599
