import asyncio
import time

import pytest

from app.providers.errors import RateLimited
from app.providers.pacing import Pacer


async def test_calls_to_one_endpoint_are_spaced_and_others_are_not_held_up():
    pacer = Pacer({"create": 0.05, "show": 5.0})
    started = time.monotonic()
    await pacer.turn(("show",))
    await asyncio.gather(*(pacer.turn(("create",)) for _ in range(3)))
    assert time.monotonic() - started >= 0.1


async def test_a_call_waits_for_the_slowest_of_its_endpoints():
    pacer = Pacer({"account": 0.01, "launch": 0.08})
    started = time.monotonic()
    await pacer.turn(("account", "launch"))
    await pacer.turn(("account",))
    await pacer.turn(("account", "launch"))
    assert time.monotonic() - started >= 0.08


async def test_a_long_queue_is_refused_at_once_and_takes_no_turn():
    pacer = Pacer({"launch": 12.0}, longest_wait_seconds=10)
    await pacer.turn(("launch",))
    for _ in range(3):
        with pytest.raises(RateLimited) as caught:
            await pacer.turn(("launch",))
        assert 12 < caught.value.retry_after_seconds < 14


async def test_a_hold_keeps_everybody_away():
    pacer = Pacer({"launch": 0.01}, longest_wait_seconds=1)
    pacer.hold(("launch",), 30)
    with pytest.raises(RateLimited):
        await pacer.turn(("launch",))


async def test_factor_zero_turns_pacing_off():
    pacer = Pacer({"launch": 12.0}, factor=0)
    for _ in range(100):
        await pacer.turn(("launch",))
    pacer.hold(("launch",), 30)
    await pacer.turn(("launch",))


async def test_a_burst_comes_at_once_and_is_earned_back_call_by_call():
    pacer = Pacer({"create": 0.1, "show": 60.0}, bursts={"create": 3})
    started = time.monotonic()
    for _ in range(3):
        await pacer.turn(("create",))
    assert time.monotonic() - started < 0.1
    for _ in range(2):
        await pacer.turn(("create",))
    assert time.monotonic() - started >= 0.2
    await asyncio.sleep(0.4)
    again = time.monotonic()
    for _ in range(3):
        await pacer.turn(("create",))
    assert time.monotonic() - again < 0.1


async def test_a_burst_is_over_where_the_cloud_asks_for_a_break():
    pacer = Pacer({"create": 0.05}, bursts={"create": 10}, longest_wait_seconds=0.5)
    pacer.hold(("create",), 30)
    with pytest.raises(RateLimited):
        await pacer.turn(("create",))
    pacer = Pacer({"create": 5.0}, bursts={"create": 10}, longest_wait_seconds=1)
    pacer.hold(("create",), 0.1)
    await pacer.turn(("create",))
    with pytest.raises(RateLimited):
        await pacer.turn(("create",))
