"""A sandbox with Modal on a port of its own."""

from __future__ import annotations

import pytest

from app.sandbox import Sandbox, SandboxConfig

pytest.importorskip("modal")


@pytest.fixture(scope="package")
async def modal_sandbox():
    sandbox = await Sandbox.start(SandboxConfig(boot_seconds=0.2, ssh_port=0, price_step_seconds=0))
    yield sandbox
    await sandbox.aclose()
