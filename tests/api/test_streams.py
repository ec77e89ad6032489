"""Who leaves in the middle of an answer leaves nothing behind for others."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from app.kit.db import driver
from tests.soaking import in_soak

from .calling import Caller

STREAM = ((b"accept", b"text/event-stream"),)


@pytest.mark.parametrize("turns", [0, 2, 5, 13, *in_soak(1, 3, 8, 21)])
async def test_a_listener_who_leaves_at_any_moment_spoils_no_connection(world, furnished, turns) -> None:
    """A stream is ended by a cancellation that is delivered again and again until it has ended."""
    target = f"/v1/rentals/{furnished.has['rentals'][0]}/events"

    class Leaving(Caller):
        async def patience(self):
            for _ in range(turns):
                await asyncio.sleep(0)

    for _ in range(4):
        answers = await asyncio.gather(
            *(Leaving(world.app, furnished.caller.secret).send("GET", target, b"", STREAM) for _ in range(8))
        )
        assert {answer.status for answer in answers} <= {200}
        after = await asyncio.gather(*(furnished.caller.ask("GET", "/v1/rentals") for _ in range(20)))
        assert {answer.status for answer in after} == {200}


@pytest.mark.parametrize("ending", ["SELECT 1", "SELECT pg_sleep(0.02)"])
async def test_a_transaction_under_a_cancellation_that_lasts_is_ended_before_its_connection_is_given_back(
    world, ending
) -> None:
    for turns in range(12):
        with anyio.CancelScope() as scope:
            async with world.databases.api.begin_unscoped() as session:
                running = asyncio.ensure_future(_after(turns, scope.cancel))
                await driver(session).execute(ending)
                await running
    for _ in range(20):
        async with world.databases.api.begin_unscoped() as session:
            assert await driver(session).fetchval("SELECT 1") == 1


async def _after(turns, call):
    for _ in range(turns):
        await asyncio.sleep(0)
    call()
