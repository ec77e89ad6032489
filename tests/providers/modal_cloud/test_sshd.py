"""The container's start, with a real shell and stand-ins for what needs root."""

from __future__ import annotations

import os
import subprocess

import pytest

from app.providers.modal_cloud.sshd import BUILD_LINES, COMMAND, KEY_VARIABLE

HOSTILE = "a'b\"c $HOME `id` $(id) \\ ; rm -rf / & | > < * ? !! é 日本 %s -n"


@pytest.fixture
def started(tmp_path):
    """Run the start with all paths below a folder of ours, and return that folder."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sshd", "ssh-keygen"):
        (tools / name).write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/{name}.args\nenv -0 > {tmp_path}/{name}.env\n')
        (tools / name).chmod(0o755)
    for folder in ("root", "etc"):
        (tmp_path / folder).mkdir()
    (tmp_path / "root" / ".bashrc").write_text("echo own\n")
    shell, option, script = COMMAND
    for path in ("/run/sshd", "/root/", "/etc/"):
        script = script.replace(path, f"{tmp_path}{path}")
    env = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "A": HOSTILE,
        KEY_VARIABLE: "ssh-ed25519 AAAA",
    }
    subprocess.run([shell, option, script], env=env, check=True, timeout=20, cwd=tmp_path)
    return tmp_path


def test_the_platforms_key_alone_opens(started):
    keys = started / "root" / ".ssh" / "authorized_keys"
    assert keys.read_text() == "ssh-ed25519 AAAA\n"
    assert keys.stat().st_mode & 0o077 == 0
    said = (started / "sshd.args").read_text()
    assert "-D" in said
    assert "PasswordAuthentication=no" in said


def test_variables_reach_every_shell_as_they_are_but_for_the_key(started):
    for shell, file in (("sh", ".profile"), ("bash", ".bashrc")):
        told = subprocess.run(
            [shell, "-c", f'. "$1"/root/{file} >/dev/null; printf %s "$A"; echo; env', shell, str(started)],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        assert told.splitlines()[0] == HOSTILE
        assert KEY_VARIABLE not in told
    assert (started / "root" / ".bashrc").read_text().endswith("echo own\n")
    assert KEY_VARIABLE.encode() not in (started / "sshd.env").read_bytes()


def test_an_images_own_entrypoint_is_set_aside():
    assert BUILD_LINES[-1] == "ENTRYPOINT []"
    assert all("\n" not in line for line in BUILD_LINES)
