"""An API with nothing but some routes, and commands typed at it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import APIRouter
from structlog.testing import capture_logs
from typer.testing import CliRunner

from app.cli.commands import app as commands
from tests.applications import new_app

Run = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def serving(state: Any, *routers: APIRouter) -> AsyncIterator[str]:
    """Serve some routes at a free port of this machine; what they log is kept apart. Yields the URL."""
    app = new_app(state, *routers)
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
        running = asyncio.create_task(server.serve(sockets=[listening]))
        with capture_logs():  # what the API says is not what the command says
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await running


def typed_at(url: str, secret: str, home: Path) -> Run:
    """Return what runs one command with a key of an API: ``done = await run("teams", "list")``."""
    given = {"HOURGLASS_URL": url, "HOURGLASS_API_KEY": secret, "XDG_CONFIG_HOME": str(home)}

    async def running(*arguments: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, commands, list(arguments), env=given)

    return running
