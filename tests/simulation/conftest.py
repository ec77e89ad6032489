"""Days are lived on a database each."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import asyncssh
import pytest
import structlog

from app.rentals import PlatformKey


@pytest.fixture(scope="session")
def platform_key() -> PlatformKey:
    key = asyncssh.generate_private_key("ssh-ed25519", comment="platform")
    return PlatformKey(key.export_private_key().decode(), key.export_public_key().decode().strip())


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the logs out: a day is told by its own story."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()
