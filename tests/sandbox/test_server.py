import tempfile
from pathlib import Path

import pytest

from app.sandbox import Sandbox, SandboxConfig


def homes():
    return set(Path(tempfile.gettempdir()).glob("hourglass-sandbox-*"))


async def test_a_sandbox_that_can_not_start_leaves_nothing(sandbox, tmp_path):
    before = homes()
    port = int(sandbox.url.rpartition(":")[2])
    with pytest.raises(OSError):  # noqa: PT011 - the port is taken
        await Sandbox.start(SandboxConfig(ssh_port=0), port=port)
    with pytest.raises(FileNotFoundError):
        await Sandbox.start(SandboxConfig(ssh_port=0, market=tmp_path))
    assert homes() <= before


async def test_two_sandboxes_live_side_by_side(sandbox, vast):
    other = await Sandbox.start(SandboxConfig(ssh_port=0))
    await vast.rented()
    assert (len(sandbox.truth), len(other.truth)) == (1, 0)
    await other.aclose()
    await other.aclose()
