"""The script at a container's start, run for real with its folders and programs elsewhere."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess

import pytest

from app.providers.runpod.booting import start_of

SSHD = '#!/bin/sh\necho "sshd $*"\n'


@pytest.fixture
def start(tmp_path):
    """Run the script where there are only these programs, and return what it said."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name in ("mkdir", "chmod", "cat"):
        (bin_ / name).symlink_to(shutil.which(name))

    def program(name: str, text: str) -> None:
        path = bin_ / name
        path.write_text(text)
        path.chmod(0o755)

    def run(programs: dict[str, str], env: dict[str, str]) -> str:
        for name, text in {"ssh-keygen": '#!/bin/sh\necho "keys $*"\n', **programs}.items():
            program(name, text)
        script = start_of("ubuntu:24.04")["cmd"][1]
        for folder in ("/root", "/run", "/etc"):
            script = script.replace(f"{folder}/", f"{tmp_path}{folder}/")
        done = subprocess.run(
            ["/bin/sh", "-c", script], env={"PATH": str(bin_), **env}, capture_output=True, text=True, check=True
        )
        return done.stdout

    return run


def test_it_puts_the_key_where_the_server_looks_and_becomes_the_server(start, tmp_path):
    said = start({"sshd": SSHD}, {"PUBLIC_KEY": "ssh-ed25519 AAAA"})
    assert said.splitlines()[0] == "keys -A"
    assert said.splitlines()[-1].startswith("sshd -D -e")
    keys = tmp_path / "root/.ssh/authorized_keys"
    assert keys.read_text() == "ssh-ed25519 AAAA\n"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("manager", ["apt-get", "apk", "dnf", "yum"])
def test_it_installs_the_server_where_there_is_none(start, tmp_path, manager):
    install = (
        f"#!/bin/sh\necho \"{manager} $*\"\nprintf '%s' '{SSHD}' > {tmp_path}/bin/sshd\nchmod 755 {tmp_path}/bin/sshd\n"
    )
    said = start({manager: install}, {"PUBLIC_KEY": "ssh-ed25519 AAAA"})
    assert f"{manager} " in said
    assert "openssh" in said
    assert said.splitlines()[-1].startswith("sshd -D -e")


def test_login_shells_get_the_variables_unharmed(start, tmp_path):
    value = 'a\'b "c" $(touch x) `y`\n%d'
    start({"sshd": SSHD}, {"PUBLIC_KEY": "ssh-ed25519 AAAA", "A": value})
    profile = tmp_path / "etc/profile.d/hourglass.sh"
    printed = subprocess.run(
        ["/bin/sh", "-c", f'. {profile}; printf %s "$A"'],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout == value
    assert stat.S_IMODE(profile.stat().st_mode) == 0o644
