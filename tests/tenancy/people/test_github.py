from __future__ import annotations

import pytest

from app.tenancy.people.errors import EmailUnverified
from app.tenancy.people.github import identity_of

USER = {"id": 7, "login": "ada-l", "name": "Ada L"}
EMAILS = [{"email": "ada@example.com", "primary": True, "verified": True}]


def test_a_person_is_what_github_says():
    found = identity_of(USER, EMAILS)
    assert (found.github_id, found.login, found.name, found.emails) == (7, "ada-l", "Ada L", ("ada@example.com",))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (None, "ada-l"),
        ("", "ada-l"),
        ("  ", "ada-l"),
        (" Ada ", "Ada"),
        ("A\u202eda", "ada-l"),
        ("A\0", "ada-l"),
        (7, "ada-l"),
    ],
)
def test_a_name_that_can_not_be_shown_gives_way_to_the_login(name, shown):
    assert identity_of(USER | {"name": name}, EMAILS).name == shown


def test_a_long_name_is_cut():
    assert identity_of(USER | {"name": "x" * 300}, EMAILS).name == "x" * 64


@pytest.mark.parametrize(
    "user",
    [
        {},
        USER | {"id": "7"},
        USER | {"id": True},
        USER | {"id": 0},
        USER | {"id": -1},
        USER | {"id": 7.0},
        USER | {"login": None},
        USER | {"login": ""},
        USER | {"login": "a\0"},
        [],
        None,
        "x",
    ],
)
def test_what_is_no_user_is_nobody(user):
    with pytest.raises((ValueError, KeyError, TypeError)):
        identity_of(user, EMAILS)


@pytest.mark.parametrize(
    "emails",
    [
        None,
        {"message": "x"},
        ["x"],
        [{}],
        [{"email": None, "primary": True, "verified": True}],
        [{"email": "a@example.com", "primary": True, "verified": "true"}],
        [{"email": "a@example.com", "primary": True, "verified": 1}],
    ],
)
def test_what_are_no_addresses_are_not_taken_for_some(emails):
    with pytest.raises((ValueError, KeyError, TypeError)):
        identity_of(USER, emails)


@pytest.mark.parametrize(
    "email",
    [
        {"email": "a@example.com", "primary": True, "verified": False},
        {"email": "a\n@example.com", "primary": True, "verified": True},
        {"email": "x" * 400 + "@example.com", "primary": True, "verified": True},
        {"email": "nobody", "primary": True, "verified": True},
    ],
)
def test_an_address_counts_only_if_it_is_one_and_verified(email):
    with pytest.raises(EmailUnverified):
        identity_of(USER, [email])
