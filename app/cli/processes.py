"""The processes of a deployment: API, worker, sandbox. Named by text, since they stand beside the command line."""

from __future__ import annotations

import asyncio
import pkgutil
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.cli.errors import CliError
from app.kit.log import LogFile, configure_logs
from app.settings import Settings

_API, _WORKER = "app.main:serve", "app.worker:serve"


def preload(*, sandbox: bool) -> None:
    """Import everything that the processes need, so that their forks have it."""
    pkgutil.resolve_name(_API)
    pkgutil.resolve_name(_WORKER)
    if sandbox:
        pkgutil.resolve_name("app.sandbox:Sandbox")


def serve_api(settings: Settings, *, sockets: Sequence[socket.socket] = (), log: Path | None = None) -> None:
    """Be the API until told to stop."""
    _configure("api", settings, log)
    pkgutil.resolve_name(_API)(settings, sockets=sockets)


def serve_worker(settings: Settings, *, log: Path | None = None) -> None:
    """Be a worker until told to stop."""
    _configure("worker", settings, log)
    pkgutil.resolve_name(_WORKER)(settings)


def serve_sandbox(
    settings: Settings, *, host: str, port: int, config: Mapping[str, Any], log: Path | None = None
) -> None:
    """Be the clouds and Stripe until told to stop. ``config`` has the values of ``SandboxConfig``.

    Raises:
        CliError: the config names a market that can't be read.
    """
    _configure("sandbox", settings, log)
    asyncio.run(_be_the_sandbox(host=host, port=port, config=config))


async def _be_the_sandbox(*, host: str, port: int, config: Mapping[str, Any]) -> None:
    from app.sandbox import Sandbox, SandboxConfig

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        sandbox = await Sandbox.start(SandboxConfig(**config), host=host, port=port)
    except FileNotFoundError as error:
        raise CliError(
            f"There is no {error.filename}. A market is a folder with vast-offers.csv and lambda-types.csv."
        ) from None
    try:
        await stopping.wait()
    finally:
        await sandbox.aclose()


def _configure(process: str, settings: Settings, log: Path | None) -> None:
    configure_logs(process=process, level=settings.log_level, sink=LogFile(log) if log else None)
