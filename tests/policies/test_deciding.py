"""The decision, pure: what is allowed up to the very limit, and which words a refusal has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.ids import AccountId, ApiKeyId, TeamId, UserId
from app.policies import (
    TEAM_DEFAULT,
    BudgetExceeded,
    KeyLimitExceeded,
    OnExceeded,
    Policy,
    PolicyViolation,
    ProvisioningPaused,
    Terms,
    Wish,
)
from app.policies.deciding import decide
from app.policies.standing import Budget, BudgetName, Open, Spent, Standing

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNT, TEAM, USER, KEY = AccountId.new(), TeamId.new(), UserId.new(), ApiKeyId.new()
WISH = Wish(
    reserve=364_000,
    family="rtx-4090",
    provider="north",
    region_id="us-oregon",
    country="US",
    price_micros_per_hour=364_000,
    reliability_ppm=998_000,
)


def standing(terms=TEAM_DEFAULT, *, opened=None, spent=(), subject=TEAM, **policy):
    found = Policy(subject=subject, terms=terms, **policy)
    return Standing((found,), {subject: opened or Open()}, tuple(spent), ())


def budget(amount, *, settled=0, held=0, name=BudgetName.DAILY, on_exceeded=OnExceeded.PAUSE_NEW, subject=TEAM):
    whole = Budget(subject, name, amount, AT, AT + timedelta(hours=12), AT.date(), on_exceeded=on_exceeded)
    return Spent(whole, settled, held)


def test_what_no_policy_forbids_is_allowed():
    verdict = decide(standing(Terms()), WISH, at=AT)
    assert (verdict.allowed, verdict.reason, verdict.code, verdict.binding) == (True, "OK", None, None)


@pytest.mark.parametrize(
    ("terms", "reason", "limit"),
    [
        (Terms(gpu_whitelist=("h100-80gb",)), "GPU rtx-4090 not in team whitelist", "gpu_whitelist"),
        (Terms(gpu_whitelist=()), "GPU rtx-4090 not in team whitelist", "gpu_whitelist"),
        (Terms(allowed_providers=("south",)), "Provider north not allowed by team policy", "allowed_providers"),
        (Terms(allowed_regions=("SE", "de-fra")), "Region us-oregon not allowed by team policy", "allowed_regions"),
        (Terms(max_instances=1), "Instance limit reached (1/1)", "max_instances"),
        (Terms(max_instances=0), "Instance limit reached (1/0)", "max_instances"),
        (Terms(max_gpus=2), "GPU limit reached (2/2)", "max_gpus"),
        (
            Terms(max_price_micros_per_hour=363_999),
            "Price $0.364/h above the team's maximum of $0.363999/h",
            "max_price_per_hour",
        ),
        (Terms(min_reliability_ppm=998_001), "Reliability below the team's minimum of 99.8001 %", "min_reliability"),
    ],
)
def test_each_limit_says_no_in_its_own_words(terms, reason, limit):
    verdict = decide(standing(terms, opened=Open(1, 2, 0)), WISH, at=AT)
    assert (verdict.allowed, verdict.reason, verdict.code) == (False, reason, "policy_violation")
    assert verdict.binding.limit == limit
    assert verdict.binding.subject == TEAM
    error = verdict.error()
    assert isinstance(error, PolicyViolation)
    assert error.detail == f"Policy violation: {reason}"


@pytest.mark.parametrize(
    "terms",
    [
        Terms(gpu_whitelist=("rtx-4090",)),
        Terms(allowed_providers=("north",)),
        Terms(allowed_regions=("us",)),
        Terms(allowed_regions=("US-Oregon",)),
        Terms(max_instances=2),
        Terms(max_gpus=3),
        Terms(max_price_micros_per_hour=364_000),
        Terms(min_reliability_ppm=998_000),
        Terms(max_duration_seconds=3600),
    ],
)
def test_up_to_the_very_limit_all_is_allowed(terms):
    assert decide(standing(terms, opened=Open(1, 2, 0)), WISH, at=AT).allowed


def test_what_is_not_known_yet_is_not_judged():
    strict = Terms(
        gpu_whitelist=("h100-80gb",), allowed_regions=("SE",), allowed_providers=("south",), min_reliability_ppm=1
    )
    assert decide(standing(strict), Wish(reserve=1), at=AT).allowed


def test_a_rental_that_is_counted_already_is_asked_for_its_budget_alone():
    again = Wish(reserve=364_000, instances=0)
    assert decide(standing(TEAM_DEFAULT, opened=Open(2, 2, 0)), again, at=AT).allowed
    broke = standing(TEAM_DEFAULT, opened=Open(2, 2, 0), spent=[budget(364_000, held=1)])
    assert decide(broke, again, at=AT).code == "budget_exceeded"


def test_a_pause_says_until_when_and_ends_then():
    until = AT + timedelta(hours=1)
    paused = standing(Terms(), paused_until=until, paused_because="the daily budget is used up")
    verdict = decide(paused, WISH, at=AT)
    assert verdict.reason == "Provisioning is paused: the daily budget is used up"
    assert verdict.until == until
    assert isinstance(verdict.error(), ProvisioningPaused)
    assert verdict.error().extra["until"] == "2026-03-01T13:00:00.000Z"
    assert decide(paused, WISH, at=until).allowed


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_budget_holds_what_is_settled_held_and_asked_for_and_not_a_micro_dollar_more(amount, settled, held, reserve):
    found = standing(Terms(), spent=[budget(amount, settled=settled, held=held)])
    verdict = decide(found, Wish(reserve=reserve), at=AT)
    assert verdict.allowed == (settled + held + reserve <= amount)
    if not verdict.allowed:
        assert isinstance(verdict.error(), BudgetExceeded)


def test_a_budget_that_only_alerts_refuses_nothing():
    over = budget(1, held=2, on_exceeded=OnExceeded.ALERT)
    assert decide(standing(Terms(), spent=[over]), WISH, at=AT).allowed


def test_a_keys_limit_is_another_error():
    limit = budget(1, name=BudgetName.LIMIT, on_exceeded=OnExceeded.STOP_ALL, subject=KEY)
    verdict = decide(standing(Terms(), subject=KEY, spent=[limit]), WISH, at=AT)
    assert isinstance(verdict.error(), KeyLimitExceeded)
    assert verdict.error().status == 402


def test_the_widest_subject_speaks_first():
    full = {subject: Open(9, 9, 0) for subject in (ACCOUNT, TEAM, USER, KEY)}
    policies = tuple(Policy(subject=subject, terms=Terms(max_instances=9)) for subject in (ACCOUNT, TEAM, USER, KEY))
    verdict = decide(Standing(policies, full, (), ()), WISH, at=AT)
    assert verdict.binding.subject == ACCOUNT
