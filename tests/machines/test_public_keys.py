import base64
import itertools
import subprocess

import asyncssh
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from app.machines.public_keys import MAX_BYTES, MalformedKey, WeakKey, parse_public_key

ED25519 = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()


def rsa_line(bits):
    key = rsa.generate_private_key(65537, bits).public_key()
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def string(data):
    return len(data).to_bytes(4, "big") + data


def security_key(kind, *parts):
    blob = b"".join(string(part) for part in (kind.encode(), *parts))
    return f"{kind} {base64.b64encode(blob).decode()}"


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"])
def test_strong_kinds_are_accepted_with_openssh_fingerprint(kind, tmp_path):
    key = asyncssh.generate_private_key(kind, comment="me@laptop")
    line = key.export_public_key().decode()
    parsed = parse_public_key(line)
    assert parsed.type == kind
    assert parsed.text == line.strip()
    assert parsed.comment == "me@laptop"
    assert parsed.fingerprint == key.get_fingerprint()


def test_fingerprint_equals_ssh_keygens(tmp_path):
    file = tmp_path / "key.pub"
    file.write_text(ED25519 + "\n")
    told = subprocess.run(["ssh-keygen", "-lf", str(file)], capture_output=True, text=True, check=True).stdout
    assert parse_public_key(ED25519).fingerprint == told.split()[1]


def test_security_keys_are_accepted():
    ed25519 = parse_public_key(ED25519).blob[-32:]
    assert parse_public_key(security_key("sk-ssh-ed25519@openssh.com", ed25519, b"ssh:")).comment == ""
    point = asyncssh.generate_private_key("ecdsa-sha2-nistp256").public_data[-65:]
    parse_public_key(security_key("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", point, b"ssh:"))


def test_rsa_of_2048_bits_is_accepted():
    assert parse_public_key(rsa_line(2048)).type == "ssh-rsa"


def test_short_rsa_is_weak():
    with pytest.raises(WeakKey, match="2048"):
        parse_public_key(rsa_line(1024))


def test_dsa_is_weak():
    with pytest.raises(WeakKey):
        parse_public_key("ssh-dss AAAAB3NzaC1kc3MAAACB me")


KIND, BLOB = ED25519.split()[:2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        KIND,
        f'command="rm -rf /" {ED25519}',
        f"no-pty {ED25519}",
        f"{ED25519}\n{ED25519}",
        f"{ED25519}\r{ED25519}",
        f"{ED25519} a\x00b",
        f"{ED25519} \u202egnp",
        f"{ED25519} \ud800",
        f"{ED25519} {'c' * 300}",
        f"{KIND} {BLOB[:-4]}",
        f"{KIND} {BLOB}AAAA",
        f"{KIND} {BLOB[:20]}!{BLOB[20:]}",
        f"ssh-rsa {BLOB}",
        f"ecdsa-sha2-nistp256 {BLOB}",
        f"ssh-ed25519-cert-v01@openssh.com {BLOB}",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "x" * (MAX_BYTES + 1),
        f"{KIND} {base64.b64encode(string(b'ssh-ed25519') + string(b'short')).decode()}",
    ],
    ids=itertools.count(),
)
def test_anything_but_one_plain_key_is_malformed(text):
    with pytest.raises(MalformedKey) as refusal:
        parse_public_key(text)
    assert refusal.value.status == 422
    assert refusal.value.code == "validation_failed"


def test_white_space_around_the_words_is_dropped():
    assert parse_public_key(f"  {KIND}   {BLOB}\tmy key \n").text == f"{KIND} {BLOB} my key"


@given(st.text(), st.binary(max_size=200))
def test_any_text_is_either_a_key_or_refused(text, data):
    for candidate in (text, f"ssh-ed25519 {text}", f"ssh-rsa {base64.b64encode(data).decode()}"):
        try:
            parsed = parse_public_key(candidate)
        except (MalformedKey, WeakKey):
            continue
        assert parse_public_key(parsed.text) == parsed


@given(st.integers(0, 50), st.integers(0, 255))
def test_a_damaged_blob_is_refused_or_canonical(position, value):
    blob = bytearray(base64.b64decode(BLOB))
    blob[position] = value
    try:
        parsed = parse_public_key(f"{KIND} {base64.b64encode(blob).decode()}")
    except MalformedKey:
        return
    assert parsed.blob == bytes(blob)
