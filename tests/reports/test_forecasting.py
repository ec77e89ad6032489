"""A forecast is reckoned from what was spent and what runs, and says how."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reports.forecasting import Outlook, Pace, project
from app.statements import Month
from tests.reports.ground import day

MARCH = Month(2026, 3)
DOLLAR = 1_000_000


def test_what_runs_goes_on_for_a_day_and_then_days_are_as_they_were():
    """Ten days are left: $24 by the burn of $1 an hour, then nine days at $7 ÷ 7."""
    outlook = Outlook(MARCH, day("2026-03-22"), trailing_days=7)
    told = project(Pace(spent=50 * DOLLAR, accrued=DOLLAR, burn_per_hour=DOLLAR, trailing=7 * DOLLAR), outlook)
    assert (told.expected, told.if_all_runs_on, told.if_as_lately) == (84 * DOLLAR, 291 * DOLLAR, 61 * DOLLAR)


def test_on_the_last_day_only_what_runs_counts():
    outlook = Outlook(MARCH, day("2026-03-31", hours=12), trailing_days=7)
    told = project(Pace(burn_per_hour=DOLLAR, trailing=7 * DOLLAR), outlook)
    assert (told.expected, told.if_as_lately) == (12 * DOLLAR, DOLLAR // 2)


def test_an_account_without_a_whole_day_is_told_by_its_burn():
    outlook = Outlook(MARCH, day("2026-03-30"), trailing_days=0)
    told = project(Pace(spent=3, burn_per_hour=DOLLAR), outlook)
    assert told.expected == told.if_all_runs_on == told.if_as_lately == 48 * DOLLAR + 3


paces = st.builds(Pace, *[st.integers(0, 10**13)] * 4)
moments = st.integers(0, 31 * 86_400 - 1).map(lambda seconds: day("2026-03-01", seconds=seconds))


@given(paces, moments, st.integers(0, 7))
def test_what_is_expected_lies_between_the_two_plain_answers(pace, at, days):
    told = project(pace, Outlook(MARCH, at, days))
    least, most = sorted((told.if_all_runs_on, told.if_as_lately))
    assert pace.spent + pace.accrued <= least
    assert least - 2 <= told.expected <= most + 2


async def test_the_whole_is_the_sum_of_the_teams_and_is_explained(books, client_for, clock):
    research = await books.team("research", day("2026-03-01"))
    old = day("2026-03-08", hours=1)
    ran = await books.rent(old, rate=24_000_000)
    await books.start(ran, old)
    await books.end(ran, old + timedelta(minutes=35))
    live = await books.rent(day("2026-03-11", hours=12), rate=3_600_000, team_id=research)
    await books.start(live, day("2026-03-11", hours=12))
    clock.at = day("2026-03-11", hours=12, minutes=30)
    told = (await (await client_for(books.account, "teams:read")).get("/v1/reports/forecast")).json()
    assert (told["month"], told["trailing_days"], told["left_seconds"]) == ("2026-03", 7, 20 * 86_400 + 41_400)
    assert told["pace"] == {"spent": "14.00", "accrued": "1.80", "burn_per_hour": "3.60", "trailing": "14.00"}
    assert told["projection"]["expected"] == "141.158333"
    assert [(team["team"], team["projection"]["expected"]) for team in told["teams"]] == [
        ("research", "88.20"),
        ("no team", "52.958333"),
    ]
    assert told["explanation"] == [
        "Spent so far in 2026-03: $14.00, and $1.80 used by what runs and not settled yet. 20 days and 11 hours of the month are left.",
        "What runs now costs $3.60 an hour: if all of it ran on, the month would come to $1785.20.",
        "The last 7 whole days cost $2.00 a day on average: if every day to come did, the month would come to $56.758333.",
        "Expected is $141.158333: what runs now for one more day, and average days after it.",
    ]


@pytest.mark.parametrize(
    ("today", "ends"), [("2026-03-31", "until the month ends"), ("2026-03-01", "no whole day yet")]
)
async def test_a_forecast_says_on_what_it_rests(books, client_for, clock, today, ends):
    clock.at = day(today, hours=13)
    told = (await (await client_for(books.account)).get("/v1/reports/forecast")).json()
    assert ends in told["explanation"][-1]
