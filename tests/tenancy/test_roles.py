from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.ids import AccountId, ApiKeyId, TeamId, UserId
from app.tenancy import ROLES, administers, manages, owns, scopes_of
from app.tenancy.roles import narrowed, reach_of
from app.web import SCOPES, Principal

A, B = TeamId(f"team_{'1' * 26}"), TeamId(f"team_{'2' * 26}")
CALLER = Principal(AccountId.new(), ApiKeyId.new(), UserId.new(), frozenset({"admin"}), live=True, name="key")


def test_roles_have_the_scopes_that_their_names_say():
    assert scopes_of("owner") == scopes_of("admin") == SCOPES
    assert "rentals:write" not in scopes_of("viewer") | scopes_of("billing")
    assert "billing:write" in scopes_of("billing") - scopes_of("member") - scopes_of("viewer")
    assert scopes_of("member", leads=[A]) == scopes_of("member") | {"teams:write"}
    assert all(scopes_of(role) <= SCOPES for role in ROLES)


@given(st.sets(st.sampled_from(sorted(SCOPES))), st.sampled_from(ROLES), st.sets(st.sampled_from([A, B])))
def test_a_key_never_goes_further_than_its_terms_or_its_maker(scopes, role, leads):
    left = narrowed(scopes, role, leads=leads)
    reached = SCOPES if "admin" in left else left
    assert reached <= scopes_of(role, leads=leads)
    assert reached <= (SCOPES if "admin" in scopes else scopes)
    assert narrowed(scopes, None, leads=leads) == scopes


@pytest.mark.parametrize(
    ("role", "teams", "key_team", "reach"),
    [
        ("owner", [A], None, None),
        ("viewer", [A], None, None),
        (None, [], None, None),
        ("member", [A], None, {A}),
        ("member", [], None, set()),
        ("owner", [], B, {B}),
        (None, [], B, {B}),
        ("member", [A, B], B, {B}),
        ("member", [A], B, set()),
    ],
)
def test_a_caller_reaches_what_its_role_and_its_keys_team_leave(role, teams, key_team, reach):
    assert reach_of(role, teams=teams, key_team=key_team) == reach


@pytest.mark.parametrize(
    ("role", "reach", "admin"),
    [("owner", None, True), ("admin", None, True), (None, None, True), ("viewer", None, False), ("owner", {A}, False)],
)
def test_the_whole_account_is_administered_by_owners_admins_and_nobodys_keys(role, reach, admin):
    caller = replace(CALLER, role=role, reach=None if reach is None else frozenset(reach))
    assert administers(caller) == admin
    assert owns(caller) == (admin and role != "admin")
    assert not owns(replace(caller, scopes=frozenset({"teams:write"})))


def test_a_team_is_managed_by_who_leads_it_or_administers_it():
    lead = replace(CALLER, role="member", reach=frozenset({A, B}), leads=frozenset({A}))
    assert manages(lead, A)
    assert not manages(lead, B)
    of_team = replace(CALLER, role="admin", reach=frozenset({A}), team_id=A)
    assert manages(of_team, A)
    assert not manages(of_team, B)
    assert manages(replace(CALLER, role="owner"), A)
    assert not manages(replace(CALLER, role="billing"), A)


def test_a_teams_key_does_not_see_what_its_maker_made_elsewhere():
    person = replace(CALLER, key_id=None, role="member", reach=frozenset())
    assert person.reaches(None, created_by=person.user_id)
    key = replace(CALLER, team_id=A, reach=frozenset({A}))
    assert not key.reaches(B, created_by=key.user_id)
    assert key.reaches(A, created_by=None)
    assert key.reaches(None, created_by=key.key_id)
