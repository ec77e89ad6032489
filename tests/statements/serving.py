"""A process that serves the ledger and statements alone, so that its memory is theirs.

Run as ``python serving.py API_URL AUTH_URL MOMENT``; prints its port, ends when its input does.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from types import SimpleNamespace

import uvicorn
from fastapi import FastAPI

from app.kit.db import Database
from app.ledger import endpoints as ledger_endpoints
from app.statements import endpoints
from app.tenancy import Authenticator
from app.web import Cursors, Limiter, install


async def main(api_url: str, auth_url: str, moment: str) -> None:
    authenticator = Authenticator(Database.connect(auth_url, role="auth"), b"pepper for tests")
    state = SimpleNamespace(
        db=Database.connect(api_url, role="api"),
        authenticator=authenticator,
        authenticate=authenticator.authenticate,
        clock=SimpleNamespace(now=lambda: datetime.fromisoformat(moment)),
        cursors=Cursors(b"cursor key"),
        limiter=Limiter(per_key=100_000, per_account=100_000),
    )
    app = FastAPI()
    app.include_router(endpoints.router)
    app.include_router(ledger_endpoints.router)
    install(app, state)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", loop="uvloop")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)  # noqa: T201 - how the port is told
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
