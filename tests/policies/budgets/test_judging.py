"""What is told of a budget, and how often."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.policies.budgets.judging import LEVELS, Mark, crossed, judge, level_of, marked, next_level
from app.policies.standing import Budget, BudgetName

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
NOON = SINCE + timedelta(hours=12)
UNTIL = SINCE + timedelta(days=1)


def daily(amount: int = 1000, *, since: datetime = SINCE) -> Budget:
    until = since + timedelta(days=1)
    return Budget("team_x", BudgetName.DAILY, amount, since, until, date(2026, 3, 1))


def told(mark: Mark | None, spent: int, *, crosses_at: datetime | None = None, budget: Budget | None = None):
    budget = budget or daily()
    after, news = judge(marked(mark, budget, spent=spent), budget, spent=spent, crosses_at=crosses_at, at=NOON)
    return after, [(one.happened, one.percent) for one in news]


@given(st.lists(st.integers(0, 1500), max_size=30))
def test_each_level_is_told_at_most_once_and_none_that_was_reached_is_forgotten(spending):
    mark, levels = None, []
    for spent in spending:
        mark, news = told(mark, spent)
        levels += [percent for _, percent in news]
    assert levels == sorted(set(levels))
    assert max(levels, default=0) == level_of(max(spending, default=0), 1000)


def test_of_levels_that_are_passed_at_once_the_highest_is_told():
    assert told(None, 920)[1] == [("threshold", 90)]
    assert told(None, 1000)[1] == [("exceeded", 100)]


def test_a_new_period_begins_anew():
    mark, _ = told(None, 920)
    tomorrow = daily(since=UNTIL)
    assert told(mark, 10, budget=tomorrow)[0] == Mark(UNTIL, 1000)


def test_a_budget_that_is_raised_is_told_of_anew_above_what_is_reached():
    mark, _ = told(None, 920)
    raised, news = told(mark, 920, budget=daily(1500))
    assert (raised.percent, news) == (50, [])
    assert told(raised, 1200, budget=daily(1500))[1] == [("threshold", 75)]


def test_a_budget_that_is_lowered_says_at_once_what_is_reached_now():
    mark, _ = told(None, 500)
    assert told(mark, 500, budget=daily(500))[1] == [("exceeded", 100)]


def test_that_it_will_not_last_is_told_once_a_period_and_only_where_it_is_plain():
    early = NOON + timedelta(hours=6)
    mark, news = told(None, 300, crosses_at=early)
    assert news == [("burn_rate", 0)]
    assert told(mark, 300, crosses_at=early)[1] == []
    assert told(told(mark, 300)[0], 300, crosses_at=early)[1] == []
    just = UNTIL - timedelta(minutes=71)
    assert told(None, 300, crosses_at=just)[1] == []
    assert told(None, 300, crosses_at=UNTIL + timedelta(days=3))[1] == []


def test_what_a_hard_budget_ended_is_used_up_though_a_part_of_a_second_is_left():
    mark = crossed(Mark(SINCE, 1000), NOON - timedelta(hours=1), at=NOON - timedelta(hours=2))
    assert told(mark, 999)[1] == [("exceeded", 100)]
    assert crossed(mark, None, at=NOON) == mark


def test_a_period_that_nobody_saw_end_was_missed():
    mark = Mark(SINCE, 1000, percent=50, crosses_at=NOON)
    assert mark.was_missed(Mark(UNTIL, 1000))
    assert not mark.was_missed(Mark(SINCE, 1000))
    assert not Mark(SINCE, 1000, percent=100, crosses_at=NOON).was_missed(Mark(UNTIL, 1000))
    assert not Mark(SINCE, 1000, crosses_at=UNTIL + timedelta(hours=1)).was_missed(Mark(UNTIL, 1000))


def test_a_budget_of_nothing_has_no_levels():
    assert told(None, 0, crosses_at=NOON, budget=daily(0))[1] == []


def test_levels_follow_one_another():
    assert [next_level(percent) for percent in (0, *LEVELS)] == [50, 75, 90, 100, None]
