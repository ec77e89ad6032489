import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import uvicorn
from asgi_lifespan import LifespanManager
from fastapi import FastAPI, Request

from app.bootstrap import ApiState, new_api_state
from app.kit.db import Database
from app.main import ROUTERS, create_app, server_config
from app.settings import Settings
from app.web.admitting import address_of

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
async def state(databases) -> AsyncIterator[ApiState]:
    settings = Settings(secret="s" * 40, database_url="postgresql://nobody@127.0.0.1:1/none")
    made = new_api_state(settings)
    yield replace(made, db=databases.api, auth_db=databases.auth)
    await made.auth_db.aclose()
    await made.db.aclose()


@pytest.fixture
async def client(state) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(state))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def test_process_answers_that_it_lives(client):
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["x-request-id"].startswith("req_")


async def test_it_is_ready_when_its_database_answers(client):
    assert (await client.get("/readyz")).json() == {"status": "ready"}


async def test_it_is_not_ready_without_its_database_but_lives(state):
    nowhere = Database.connect("postgresql://nobody@127.0.0.1:1/none", role="api")
    transport = httpx.ASGITransport(create_app(replace(state, db=nowhere)))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "database_unreachable"})
        assert answer.headers["retry-after"] == "1"
        assert (await client.get("/healthz")).status_code == 200
    await nowhere.aclose()


async def test_figures_count_requests_by_route_and_not_by_path(client):
    await client.get("/healthz")
    await client.get("/v1/listings/lst_nobody")
    text = (await client.get("/metrics")).text
    assert 'hourglass_http_requests_total{method="GET",route="/healthz",status="200"} 1.0' in text
    assert "lst_nobody" not in text
    assert "hourglass_reconciler_outcomes" in text
    assert "hourglass_provider_calls" in text


async def test_unknown_path_is_a_problem_without_a_database(client):
    answer = await client.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


async def test_every_room_with_endpoints_is_served():
    rooms = {path.parent.name for path in (ROOT / "app").glob("*/endpoints.py")}
    assert len(ROUTERS) >= len(rooms)


async def test_operation_ids_are_unique_and_every_operation_tells_its_errors(state):
    document = create_app(state).openapi()
    operations = [
        operation
        for path, methods in document["paths"].items()
        if path.startswith("/v1/")
        for operation in methods.values()
    ]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    assert all("500" in operation["responses"] for operation in operations)
    assert all(("401" in operation["responses"]) == bool(operation.get("security")) for operation in operations)
    unsigned = [operation["operationId"] for operation in operations if not operation.get("security")]
    assert unsigned == ["receive_stripe_event"], "only Stripe's messages, which are signed, come without a key"


def test_committed_description_is_what_the_code_says():
    done = subprocess.run(
        [sys.executable, "-m", "app", "openapi", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((ROOT / "openapi" / "openapi.json").read_text())
    assert list(document["paths"]) == sorted(document["paths"])


async def test_it_starts_and_ends_in_good_order():
    settings = Settings(secret="s" * 40, database_url="postgresql://nobody@127.0.0.1:1/none")
    import gc

    before = gc.get_threshold()
    try:
        async with LifespanManager(create_app(new_api_state(settings))):
            assert gc.get_freeze_count() > 0
            assert gc.get_threshold() > before
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


@asynccontextmanager
async def telling_addresses(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A server that says where a request comes from, as the service sees it."""
    app = FastAPI()

    @app.get("/")
    async def address(request: Request) -> str | None:
        return address_of(request.scope)

    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(server_config(app, settings))
        running = asyncio.create_task(server.serve(sockets=[listening]))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}") as client:
            yield client
        server.should_exit = True
        await running


@pytest.mark.parametrize(
    ("proxies", "said", "seen"),
    [
        ("", "198.51.100.7", "127.0.0.1"),
        ("10.0.0.0/8", "198.51.100.7", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "192.0.2.1, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.0/8, 127.0.0.0/8", "192.0.2.1, 198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("127.0.0.1", "2001:db8::7", "2001:db8::7"),
    ],
)
async def test_a_request_comes_from_where_our_own_proxies_say_and_nobody_else(proxies, said, seen, monkeypatch):
    monkeypatch.setenv("HOURGLASS_TRUSTED_PROXIES", proxies)
    async with telling_addresses(Settings()) as client:
        assert (await client.get("/", headers={"X-Forwarded-For": said})).json() == seen
