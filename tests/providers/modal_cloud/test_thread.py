from __future__ import annotations

import asyncio
import threading

import pytest

from app.providers.modal_cloud.thread import LoopThread


@pytest.fixture
async def thread():
    thread = LoopThread("apart")
    yield thread
    await thread.aclose()


async def test_work_runs_in_another_thread_and_returns(thread):
    async def work():
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert not thread.is_alive
    assert await asyncio.gather(*(thread.run(work) for _ in range(5))) == ["apart"] * 5
    assert thread.is_alive


async def test_errors_come_back(thread):
    async def work():
        raise LookupError("there")

    with pytest.raises(LookupError, match="there"):
        await thread.run(work)


async def test_whoever_gives_up_breaks_the_work_off(thread):
    ended = threading.Event()

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await thread.run(work)
    assert await asyncio.to_thread(ended.wait, 5)


async def test_the_end_breaks_everything_off_and_may_come_twice(thread):
    ended = threading.Event()

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    running = asyncio.create_task(thread.run(work))
    await asyncio.sleep(0.05)
    for _ in range(2):
        await thread.aclose()
    assert ended.is_set()
    assert not thread.is_alive
    assert not any(one.name == "apart" for one in threading.enumerate())
    with pytest.raises(asyncio.CancelledError):
        await running
