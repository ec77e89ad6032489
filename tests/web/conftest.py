"""A small application on the edge: things that can be made, read and listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

import httpx
import pytest
import uvicorn
from fastapi import Depends, Query, Request
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from app.kit.clock import SystemClock
from app.kit.errors import NotFound
from app.kit.ids import AccountId, ApiKeyId
from app.web import (
    Answer,
    Bounds,
    Cursors,
    Limiter,
    ListAnswer,
    Page,
    Principal,
    RequestMetrics,
    Work,
    answer,
    calling,
    check_match,
    etag,
    list_answer,
    new_router,
    replay_or_run,
    responses_for,
    working,
)
from app.web.errors import Unauthorized
from app.web.schemas import MoneyIn, Name, Wire
from tests.applications import new_app

Writing = Annotated[Work, Depends(working("rentals:write"), scope="function")]
Reading = Annotated[Principal, Depends(calling("rentals:read"))]


class Thing(Wire):
    name: Name
    count: int = 1
    price: MoneyIn = 0


class ThingPage(Page):
    colour: str | None = None


@dataclass
class State:
    """The state that bootstrap would make, with keys known by heart."""

    db: object = None
    clock: SystemClock = field(default_factory=SystemClock)
    cursors: Cursors = field(default_factory=lambda: Cursors(b"cursor key"))
    limiter: Limiter = field(default_factory=lambda: Limiter(per_key=100_000, per_account=100_000))
    callers: dict[str, Principal] = field(default_factory=dict)
    sessions: object = None
    effects: list[str] = field(default_factory=list)
    running: asyncio.Event = field(default_factory=asyncio.Event)

    async def authenticate(self, secret, *, at, address):
        if secret not in self.callers:
            raise Unauthorized
        return self.callers[secret]

    def caller(self, secret="secret", *, scopes=("rentals:read", "rentals:write"), account_id=None):
        caller = Principal(account_id or AccountId.new(), ApiKeyId.new(), None, frozenset(scopes), True, "test")
        self.callers[secret] = caller
        return caller


router = new_router("/v1", tag="things")


@router.post("/things", status_code=201, response_model=Thing, responses=responses_for(NotFound))
async def create(body: Thing, work: Writing, request: Request):
    async def run():
        state = request.app.state.hourglass
        state.effects.append(body.name)
        if body.name == "fails":
            raise NotFound
        if body.name == "slow":
            await asyncio.sleep(0.05)
        if body.name == "very slow":
            state.running.set()
            await asyncio.sleep(3)
        return Answer(body, headers={"Location": f"/v1/things/{len(state.effects)}"})

    return await replay_or_run(work, request, status=201, run=run)


@router.post("/things/{thing_id}/poke", response_model=Thing)
async def poke(thing_id: str, work: Writing, request: Request):
    async def run():
        request.app.state.hourglass.effects.append(thing_id)
        return Thing(name=thing_id)

    return await replay_or_run(work, request, status=200, run=run)


@router.put("/plain", response_model=Thing)
async def plain(body: Thing, caller: Reading):
    return answer(body)


@router.get("/things", response_model=ListAnswer[Thing])
async def list_things(page: Annotated[ThingPage, Query()], work: Writing):
    start = work.after(page) or (5,)
    rows = list(range(int(start[0]) - 1, -1, -1))[: page.limit + 1]
    return answer(list_answer(rows, page, render=lambda n: Thing(name=str(n)), seal=lambda n: work.cursor((n,), page)))


@router.get("/things/{thing_id}", response_model=Thing)
async def read(thing_id: str, caller: Reading):
    if thing_id == "broken":
        raise ZeroDivisionError("canary in a message")
    if thing_id == "slow":
        await asyncio.sleep(30)
    return answer(Thing(name=thing_id), headers={"ETag": etag(thing_id, 1)})


@router.patch("/things/{thing_id}", response_model=Thing)
async def change(thing_id: str, caller: Reading, request: Request):
    check_match(request, etag(thing_id, 1))
    return answer(Thing(name=thing_id))


@router.get("/commit-order", response_model=Thing)
async def commit_order(work: Writing, request: Request):
    """Leave the transaction in a state whose COMMIT the server refuses."""
    try:
        await work.session.execute(text("SELECT 1 / 0"))
    except Exception:  # noqa: BLE001 - an endpoint that forgets an error must not be told as success
        request.app.state.hourglass.effects.append("swallowed")
    work.after_commit.append(lambda: request.app.state.hourglass.effects.append("after commit"))
    return answer(Thing(name="done"))


@router.post("/refused", response_model=Thing)
async def refused(body: Thing, work: Writing, request: Request):
    """Write, be refused, and do what follows from that."""
    error = NotFound()
    effects = request.app.state.hourglass.effects
    await work.session.execute(text("CREATE TEMPORARY TABLE undone (n INT) ON COMMIT PRESERVE ROWS"))

    async def follow_up(session):
        found = (await session.execute(text("SELECT to_regclass('pg_temp.undone')"))).scalar()
        account = (await session.execute(text("SELECT current_setting('app.account_id')"))).scalar()
        effects.append(f"{found} {account == work.account_id}")
        error.extra["followed"] = True
        if body.name == "fails":
            raise ZeroDivisionError

    work.after_rollback.append(follow_up)
    if body.name == "passes":
        return answer(body)
    raise error


@pytest.fixture
def state():
    made = State()
    made.caller()
    return made


@pytest.fixture
def db_state(state, api_db):
    state.db = api_db
    return state


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def make_app(registry):
    def making(state, bounds=None):
        return new_app(state, router, bounds=bounds, metrics=RequestMetrics(registry))

    return making


@pytest.fixture
async def client(state, make_app):
    async with _client(make_app(state)) as opened:
        yield opened


@pytest.fixture
async def db_client(db_state, make_app):
    async with _client(make_app(db_state)) as opened:
        yield opened


def _client(app):
    headers = {"Authorization": "Bearer secret"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=headers)


@pytest.fixture
async def port(state, make_app) -> AsyncIterator[int]:
    """The port of a real server with short bounds."""
    bounds = Bounds(body_bytes=1000, body_seconds=0.3, request_seconds=0.8)
    async with serving(make_app(state, bounds)) as number:
        yield number


@asynccontextmanager
async def serving(app):
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


@pytest.fixture
def moment():
    return datetime(2030, 1, 1, tzinfo=UTC)
