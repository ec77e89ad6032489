import asyncssh
import pytest

from app.providers.errors import Rejected
from app.providers.keys import find_public_key, parse_public_key


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"])
def test_a_key_is_the_same_whatever_its_comment(kind):
    line = asyncssh.generate_private_key(kind).export_public_key().decode()
    plain, commented = parse_public_key(line), parse_public_key(line.strip() + " someone@somewhere\n")
    assert plain == commented
    assert plain.name == commented.name
    assert plain.name.startswith("hourglass-")
    assert len(plain.name) == 26


def test_two_keys_have_two_names(public_key):
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    assert parse_public_key(public_key).name != parse_public_key(other).name


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 !!!!",
        "ssh-ed25519 AAAA",
        "ssh-rsa AAAAB3NzaC1yc2E=",
        "ssh-ed25519 AAAAB3NzaC1yc2EAAAADAQABAAAA",
        "ssh-ed25519 AAAA\nssh-ed25519 BBBB",
        None,
        5,
        ["ssh-ed25519"],
    ],
)
def test_anything_else_is_no_key_of_ours(line):
    assert find_public_key(line) is None


def test_the_platforms_key_must_be_one():
    with pytest.raises(Rejected):
        parse_public_key("ssh-dss AAAA")
