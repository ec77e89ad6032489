from __future__ import annotations

from datetime import timedelta

from app.catalog.polling import list_due, pause_provider, request_refresh, resume_provider
from app.catalog.refreshing import refresh_due
from app.providers.errors import Unavailable

SECOND = timedelta(seconds=1)


async def _due(db, at):
    async with db.begin_unscoped() as session:
        return await list_due(session, ["vast"], at=at)


async def test_an_unknown_provider_is_due_at_once_and_then_every_minute(worker, cloud, at):
    assert await _due(worker, at) == ["vast"]
    await refresh_due(worker, [cloud], at=at)
    assert await _due(worker, at + 59 * SECOND) == []
    assert await _due(worker, at + 60 * SECOND) == ["vast"]


async def test_a_failing_provider_is_left_alone_for_longer_each_time_up_to_a_bound(worker, cloud, at):
    cloud.answer = Unavailable("500")
    await refresh_due(worker, [cloud], at=at)
    assert await _due(worker, at + 119 * SECOND) == []
    for number in range(1, 9):
        await refresh_due(worker, [cloud], at=at + number * 601 * SECOND)
    assert cloud.polls == 9
    assert await _due(worker, at + (8 * 601 + 599) * SECOND) == []
    assert await _due(worker, at + (8 * 601 + 600) * SECOND) == ["vast"]


async def test_a_request_makes_a_poll_due_once_and_not_within_ten_seconds_of_the_last(worker, api, cloud, at):
    await refresh_due(worker, [cloud], at=at)
    async with api.begin_unscoped() as session:
        await request_refresh(session, ["vast"], at=at + SECOND)
        await request_refresh(session, ["vast"], at=at)
    assert await _due(worker, at + 9 * SECOND) == []
    assert await _due(worker, at + 10 * SECOND) == ["vast"]
    await refresh_due(worker, [cloud], at=at + 10 * SECOND)
    assert await _due(worker, at + 30 * SECOND) == []


async def test_a_paused_provider_is_not_polled(worker, cloud, at):
    await refresh_due(worker, [cloud], at=at)
    async with worker.begin_unscoped() as session:
        await pause_provider(session, "vast")
    assert await _due(worker, at + 3600 * SECOND) == []
    async with worker.begin_unscoped() as session:
        await resume_provider(session, "vast")
    assert await _due(worker, at + 3600 * SECOND) == ["vast"]
