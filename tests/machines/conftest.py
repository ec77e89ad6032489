"""Sandbox machines to log in to."""

from contextlib import asynccontextmanager

import asyncssh
import pytest

from app.machines.shell import open_shell
from app.providers.contract import Connection
from app.sandbox.hosts import GpuFacts, HostBehaviour, start_host

RTX_4090 = GpuFacts("NVIDIA GeForce RTX 4090", 1, 24_564)


@pytest.fixture(scope="session")
def platform_key():
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
def running(platform_key):
    """Return what starts a machine for a block; the platform's key may log in."""

    @asynccontextmanager
    async def start(home, *, gpu=RTX_4090, behaviour=None, port=0):
        host = await start_host(
            address="127.0.0.1",
            port=port,
            home=home,
            gpu=gpu,
            authorized_keys=[platform_key.export_public_key().decode()],
            behaviour=behaviour or HostBehaviour(),
        )
        try:
            yield host
        finally:
            await host.close()

    return start


@pytest.fixture
def shell_on(platform_key):
    """Return what opens a shell on a machine for a block."""

    def connect(host, *, key=platform_key, known_host=None, deadline_seconds=10):
        where = Connection(host.address, host.port, host.username)
        return open_shell(where, private_key=key, deadline_seconds=deadline_seconds, known_host=known_host)

    return connect
