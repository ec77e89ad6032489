import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.kit.privileges import NOT_PERMITTED, UNREACHABLE, launch_command

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

NOBODY = (65534, 65534)


def status_of(directory: Path, user: tuple[int, int], program: Path, without: str = "") -> dict[str, str]:
    result = run(directory, user, [str(program), "/proc/self/status"], without)
    assert result.returncode == 0, result.stderr
    return dict(line.split(":\t", 1) for line in result.stdout.splitlines() if ":\t" in line)


def run(directory: Path, user: tuple[int, int], program: list[str], without: str = "") -> subprocess.CompletedProcess:
    command = launch_command(program, user=user, directory=directory, at_parents_death=signal.SIGTERM)
    if without:
        setpriv = shutil.which("setpriv") or pytest.skip("needs setpriv")
        command = [setpriv, f"--bounding-set={without}", *command]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def closed(tmp_path):
    directory = tmp_path / "closed"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def cat(closed):
    """A program only root may run, beneath a directory only root may enter."""
    copy = closed / "cat"
    shutil.copy("/bin/cat", copy)
    copy.chmod(0o700)
    return copy


def test_a_program_stays_with_its_user_when_that_is_ours():
    own = (os.geteuid(), os.getegid())
    assert status_of(Path("/"), own, Path("/bin/cat"))["Uid"].split() == [str(os.geteuid())] * 4


@as_root
def test_root_becomes_the_user_without_groups_and_without_capabilities():
    status = status_of(Path("/"), NOBODY, Path("/bin/cat"))
    assert status["Uid"].split() == ["65534"] * 4
    assert status["Gid"].split() == ["65534"] * 4
    assert status["Groups"].strip() == ""
    assert [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")] == [0, 0, 0, 0]


@as_root
def test_a_closed_directory_costs_the_capability_to_read_and_search_only(closed):
    status = status_of(closed, NOBODY, Path("/bin/cat"))
    assert [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapAmb")] == [1 << 2] * 3


@as_root
def test_a_program_that_only_root_may_run_costs_the_capability_to_override(closed, cat):
    assert int(status_of(closed, NOBODY, cat)["CapEff"], 16) == 1 << 1


@as_root
def test_overriding_serves_where_searching_is_not_at_hand(closed):
    assert int(status_of(closed, NOBODY, Path("/bin/cat"), without="-dac_read_search")["CapEff"], 16) == 1 << 1


@as_root
def test_without_any_capability_the_closed_directory_is_told(closed):
    result = run(closed, NOBODY, ["/bin/true"], without="-dac_read_search,-dac_override")
    assert result.returncode == UNREACHABLE
    assert str(closed) in result.stderr
    assert run(Path("/"), NOBODY, ["/bin/true"], without="-dac_read_search,-dac_override").returncode == 0


@as_root
def test_a_root_that_may_not_change_its_user_is_told():
    result = run(Path("/"), NOBODY, ["/bin/true"], without="-setuid,-setgid")
    assert result.returncode == NOT_PERMITTED
    assert "may not become user 65534" in result.stderr


@as_root
def test_capabilities_go_without_the_right_to_keep_them():
    status = status_of(Path("/"), NOBODY, Path("/bin/cat"), without="-setpcap")
    assert int(status["CapEff"], 16) == 0
