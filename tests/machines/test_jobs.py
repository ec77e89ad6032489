import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.machines.jobs import environment_file, quoted

NAMES = st.from_regex(r"\AV_[A-Za-z0-9_]{0,12}\Z")
VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=60)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_environment_arrives_in_a_real_shell_unchanged(tmp_path_factory, env):
    file = tmp_path_factory.mktemp("env") / "env"
    file.write_bytes(environment_file(env))
    told = subprocess.run(
        ["sh", "-c", '. "$1"; exec env -0', "sh", str(file)],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    ).stdout
    assert not told.startswith(b"sh:")
    found = dict(entry.split("=", 1) for entry in told.decode().split("\0") if entry)
    assert {name: found.get(name) for name in env} == env


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_quoted_value_is_one_word(value):
    done = subprocess.run(["sh", "-c", f"printf '%s|' {quoted(value)}"], capture_output=True, check=True)
    assert done.stdout == value.encode() + b"|"
    assert done.stderr == b""


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "A;id", "$(id)", "A\n", "É", "UID", "PPID"])
def test_name_that_no_shell_takes_is_refused(name):
    with pytest.raises(ValueError, match="environment variable"):
        environment_file({name: "x"})


def test_value_with_a_nul_is_refused():
    with pytest.raises(ValueError, match="NUL"):
        environment_file({"A": "a\0b"})
