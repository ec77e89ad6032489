"""What a Hyperstack machine costs in each of its states, on a clock that the test moves."""

import asyncio

import httpx
import pytest

from app.kit.money import from_price
from app.sandbox import Sandbox, SandboxConfig
from tests.sandbox.conftest import HandClock, ask_until_true
from tests.sandbox.hyperstack.conftest import Hyperstack

PRICE = 1_350_000 + 6_720
DISK = 9_678
HOUR = 3600


@pytest.fixture
async def world():
    clock = HandClock()
    config = SandboxConfig(boot_seconds=60, terminate_seconds=10, ssh_port=0, price_step_seconds=0)
    sandbox = await Sandbox.start(config, clock=clock)
    headers = {"api_key": sandbox.config.hyperstack_key}
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/v1", headers=headers) as http:
        yield sandbox, clock, Hyperstack(http, ask_until_true)
    await sandbox.aclose()


async def passes(clock: HandClock, seconds: float) -> None:
    """Let time pass once whoever waits for it has begun to."""
    await asyncio.sleep(0.05)
    await clock.advance(seconds)


async def booked(hyperstack: Hyperstack, number: int) -> dict:
    answer = await hyperstack.http.get(
        f"/billing/billing/history/virtual-machine/{number}?start_date=2026-01-01T00:00:00"
    )
    return answer.json()["billing_history_vm_details"]["billing_history"][0]["metrics"]


async def test_shut_down_it_costs_as_before_and_hibernated_its_disk_alone(world):
    sandbox, clock, hyperstack = world
    await hyperstack.ready()
    number = await hyperstack.created()
    await passes(clock, 60)
    await hyperstack.reaches(number, "ACTIVE")
    await clock.advance(HOUR)
    await hyperstack.do(number, "stop")
    await hyperstack.reaches(number, "SHUTOFF")
    await clock.advance(HOUR)
    assert sandbox.truth[0].cost_micros == 2 * PRICE
    await hyperstack.do(number, "start")
    await passes(clock, 60)
    await hyperstack.reaches(number, "ACTIVE")
    await hyperstack.do(number, "hibernate")
    active = sandbox.truth[0].cost_micros
    await passes(clock, 30)
    await hyperstack.reaches(number, "HIBERNATED")
    await clock.advance(10 * HOUR)
    assert sandbox.truth[0].cost_micros == active + 10 * DISK
    await hyperstack.do(number, "hibernate-restore")
    await passes(clock, 60)
    await hyperstack.reaches(number, "ACTIVE")
    assert sandbox.truth[0].cost_micros == active + 10 * DISK
    metrics = await booked(hyperstack, number)
    assert from_price(str(metrics["incurred_bill"])) == sandbox.truth[0].cost_micros
    assert (metrics["usage_time_ACTIVE"], metrics["usage_time_SHUTOFF"]) == (60 + 1, 60)
    assert metrics["usage_time_HIBERNATED"] == 600


async def test_an_address_that_is_kept_costs_while_hibernating(world):
    sandbox, clock, hyperstack = world
    await hyperstack.ready()
    number = await hyperstack.created()
    await passes(clock, 60)
    await hyperstack.reaches(number, "ACTIVE")
    await hyperstack.do(number, "hibernate?retain_ip=true")
    await passes(clock, 30)
    row = await hyperstack.reaches(number, "HIBERNATED")
    before = sandbox.truth[0].cost_micros
    await clock.advance(HOUR)
    assert sandbox.truth[0].cost_micros == before + DISK + 6_720
    assert row["floating_ip"]


async def test_it_is_billed_until_it_is_gone(world):
    sandbox, clock, hyperstack = world
    await hyperstack.ready()
    number = await hyperstack.created()
    await passes(clock, 60)
    await hyperstack.reaches(number, "ACTIVE")
    await hyperstack.http.delete(f"/core/virtual-machines/{number}")
    assert (await hyperstack.get(number))["status"] == "DELETING"
    await passes(clock, 10)

    async def gone():
        return await hyperstack.get(number) is None

    await ask_until_true(gone)
    assert sandbox.truth[0].cost_micros == PRICE * 10 // HOUR
