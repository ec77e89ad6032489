"""A stand-in for Modal with which tests play, and adapters for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app.providers import WireOptions
from app.providers.modal_cloud import ModalProvider
from app.sandbox import Sandbox, SandboxConfig

pytest.importorskip("modal")

PATIENCE = WireOptions(
    connect_seconds=5, first_byte_seconds=3, total_seconds=6, first_retry_seconds=0.01, pace_factor=0
)


@pytest.fixture(scope="package")
async def modal_sandbox() -> AsyncIterator[Sandbox]:
    sandbox = await Sandbox.start(SandboxConfig(boot_seconds=0.2, ssh_port=0, price_step_seconds=0))
    yield sandbox
    await sandbox.aclose()


@pytest.fixture
async def adapters(modal_sandbox: Sandbox) -> AsyncIterator[object]:
    """Makes adapters, which are closed at the end."""
    made: list[ModalProvider] = []

    def make(sandbox: Sandbox = modal_sandbox, **changes: object) -> ModalProvider:
        facts = {
            "token_id": sandbox.config.modal_token_id,
            "token_secret": sandbox.config.modal_token_secret,
            "server_url": sandbox.modal_url,
            "options": PATIENCE,
            **changes,
        }
        made.append(ModalProvider(**facts))
        return made[-1]

    yield make
    modal_sandbox.faults.clear()
    for adapter in made:
        await adapter.aclose()


@pytest.fixture
async def modal(adapters) -> ModalProvider:
    return adapters()


@pytest.fixture
def impatient() -> WireOptions:
    return replace(PATIENCE, first_byte_seconds=0.2, total_seconds=0.3)
