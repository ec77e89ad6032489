"""Event streams over a real connection."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn

from app.web.errors import RateLimited
from app.web.streams import STREAMS, STREAMS_MAX, Streams

STREAM = {"Accept": "text/event-stream"}


class QuickClock:
    """Tells a hand-moved time and really waits, but briefly."""

    def __init__(self, clock):
        self.clock, self.waits = clock, 0

    def now(self):
        return self.clock.now()

    async def sleep(self, seconds):
        self.waits += 1
        await asyncio.sleep(min(seconds, 0.02))


@asynccontextmanager
async def served(app):
    """Serve an application on a free local port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None, ws="none"))
    task = asyncio.create_task(server.serve())
    for _ in range(500):
        if server.started:
            break
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def url(app, state, clock):
    state.clock = QuickClock(clock)
    async with served(app) as url:
        yield url


@pytest.fixture
async def remote(ada, url):
    headers = {"Authorization": f"Bearer {ada.secret}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=10) as client:
        yield client


async def test_events_arrive_as_they_happen(ada, hand, remote) -> None:
    rental_id = (await ada.rent())["id"]
    seen = []
    async with remote.stream("GET", f"/v1/rentals/{rental_id}/events", headers=STREAM) as answer:
        assert answer.headers["cache-control"] == "no-store"
        async for line in answer.aiter_lines():
            if not line.startswith("data: "):
                continue
            seen.append(json.loads(line.removeprefix("data: "))["type"])
            if seen[-1] == "rental.provisioning":
                await hand.start(ada, rental_id)
            if seen[-1] == "rental.running":
                await ada.http.delete(f"/v1/rentals/{rental_id}")
                await hand.finish(ada, rental_id)
    assert seen == ["rental.provisioning", "rental.running", "rental.stopping", "rental.stopped"]


async def test_a_listener_who_leaves_ends_the_stream(ada, remote, state) -> None:
    rental_id = (await ada.rent())["id"]
    async with remote.stream("GET", f"/v1/rentals/{rental_id}/events", headers=STREAM) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                break
        assert STREAMS._open[ada.account_id] == 1
    for _ in range(200):
        if ada.account_id not in STREAMS._open:
            break
        await asyncio.sleep(0.01)
    assert ada.account_id not in STREAMS._open
    waits = state.clock.waits
    await asyncio.sleep(0.1)
    assert state.clock.waits == waits


async def test_an_account_has_so_many_streams_and_no_more(ada, remote) -> None:
    rental_id = (await ada.rent())["id"]
    path = f"/v1/rentals/{rental_id}/events"
    with_room = Streams(per_account=1)
    with with_room.counted("one"), pytest.raises(RateLimited):
        with_room.require_room("one")
    with_room.require_room("one")
    counting = [STREAMS.counted(ada.account_id) for _ in range(STREAMS_MAX)]
    for one in counting:
        one.__enter__()
    full = await remote.get(path, headers=STREAM)
    assert (full.status_code, full.json()["code"]) == (429, "rate_limited")
    assert int(full.headers["retry-after"]) > 0
    assert (await remote.get(path)).status_code == 200
    for one in counting:
        one.__exit__(None, None, None)
    assert ada.account_id not in STREAMS._open
