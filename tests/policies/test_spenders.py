"""Who spends, pure."""

from __future__ import annotations

import pytest

from app.kit.ids import AccountId, ApiKeyId, TeamId, UserId
from app.policies import TEAM_DEFAULT, OnExceeded, Spender, SubjectKind, UnknownTeam
from app.policies.terms import default_terms
from app.web import Principal

RED, BLUE = TeamId(f"team_{'1' * 26}"), TeamId(f"team_{'2' * 26}")


def caller(**changes):
    values = {
        "account_id": AccountId.new(), "key_id": ApiKeyId.new(), "user_id": UserId.new(), "scopes": frozenset(),
        "live": True, "name": "",
    }  # fmt: skip
    return Principal(**{**values, **changes})


def test_the_account_comes_first_and_the_key_last():
    principal = caller(team_id=RED)
    subjects = Spender.of(principal).subjects
    assert subjects == (principal.account_id, RED, principal.user_id, principal.key_id)
    assert [SubjectKind.of(subject) for subject in subjects] == ["account", "team", "user", "key"]


@pytest.mark.parametrize(
    ("changes", "named", "team"),
    [
        ({}, None, None),
        ({}, RED, RED),
        ({}, RED.lower(), RED),
        ({"team_id": RED, "reach": frozenset({RED})}, None, RED),
        ({"team_id": RED, "reach": frozenset({RED})}, RED, RED),
        ({"reach": frozenset({RED})}, None, RED),
        ({"reach": frozenset({RED, BLUE})}, BLUE, BLUE),
        ({"reach": frozenset()}, None, None),
    ],
)
def test_a_team_is_said_or_implied(changes, named, team):
    assert Spender.of(caller(**changes), named).team_id == team


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"team_id": RED, "reach": frozenset({RED})}, BLUE),
        ({"team_id": RED}, BLUE),
        ({"reach": frozenset({RED})}, BLUE),
        ({"reach": frozenset({RED, BLUE})}, None),
        ({"reach": frozenset()}, RED),
        ({}, "usr_01J00000000000000000000000"),
        ({}, ""),
    ],
)
def test_a_team_beyond_reach_is_refused(changes, named):
    with pytest.raises(UnknownTeam):
        Spender.of(caller(**changes), named)


def test_a_team_has_a_strict_policy_from_its_first_day_and_others_none():
    assert default_terms(RED) == TEAM_DEFAULT
    assert (TEAM_DEFAULT.max_instances, TEAM_DEFAULT.gpu_whitelist) == (2, ("rtx-4090",))
    assert (TEAM_DEFAULT.daily_budget_micros, TEAM_DEFAULT.on_budget_exceeded) == (10_000_000, OnExceeded.PAUSE_NEW)
    assert all(default_terms(kind.new()).sets_nothing for kind in (AccountId, UserId, ApiKeyId))
