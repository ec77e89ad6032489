from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tenancy.secrets import digest, is_well_formed, new_secret, shown_parts


@pytest.mark.parametrize("mode", ["live", "test"])
def test_a_secret_says_its_mode_and_checks_itself(mode):
    secret = new_secret(mode)
    assert secret.startswith(f"hg_{mode}_")
    assert len(secret) == 57
    assert is_well_formed(secret)
    assert new_secret(mode) != secret


@given(st.integers(0, 56), st.sampled_from("0aZ_é\n"))
def test_a_changed_character_is_noticed(index, character):
    secret = new_secret("live")
    changed = secret[:index] + character + secret[index + 1 :]
    assert is_well_formed(changed) == (changed == secret)


@given(st.text(max_size=80))
def test_any_other_text_is_no_secret(text):
    assert not is_well_formed(text)


def test_the_mode_is_under_the_checksum():
    assert not is_well_formed(new_secret("live").replace("live", "test", 1))


def test_the_stored_hash_needs_the_pepper():
    secret = new_secret("live")
    assert len(digest(secret, pepper=b"a")) == 32
    assert digest(secret, pepper=b"a") != digest(secret, pepper=b"b")


def test_what_is_shown_later_gives_little_away():
    secret = new_secret("live")
    prefix, last4 = shown_parts(secret)
    assert secret.startswith(prefix)
    assert secret.endswith(last4)
    assert len(prefix) + len(last4) == 16
