"""What only RunPod does, against its stand-in."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from app.providers import (
    Gone,
    Machine,
    MachineStatus,
    NoCapacity,
    OutcomeUnknown,
    Provider,
    QuotaExceeded,
    RunpodProvider,
    WireOptions,
)
from app.sandbox import Fault, Sandbox, SandboxConfig

AT_ONCE = WireOptions(first_byte_seconds=2, total_seconds=4, first_retry_seconds=0.01, pace_factor=0)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def sandbox(tmp_path_factory) -> AsyncIterator[Sandbox]:
    home = tmp_path_factory.mktemp("pods")
    sandbox = await Sandbox.start(SandboxConfig(boot_seconds=0.2, ssh_port=0, home=home, price_step_seconds=0))
    yield sandbox
    await sandbox.aclose()


@pytest.fixture
async def cloud(sandbox) -> AsyncIterator[Provider]:
    cloud = adapter(sandbox)
    yield cloud
    sandbox.faults.clear()
    for machine in await cloud.list_machines("own-"):
        await cloud.destroy(machine.machine_id)
    await cloud.aclose()


@pytest.fixture
def create(cloud, order):
    async def create(**changes) -> str:
        offers = await cloud.list_offers()
        offer = next(each for each in offers if each.security_tier == "secure" and each.gpu_count == 2)
        return await cloud.create(order(offer.offer_id, marker=f"own-{next(_numbers)}", **changes))

    return create


def adapter(sandbox: Sandbox) -> Provider:
    return RunpodProvider(api_key=sandbox.config.runpod_key, base_url=sandbox.url, options=AT_ONCE)


async def until(cloud: Provider, machine_id: str, status: MachineStatus) -> Machine:
    async with asyncio.timeout(20):
        machine = await cloud.get_machine(machine_id)
        for _ in itertools.repeat(None):
            if machine.status is status:
                break
            await asyncio.sleep(0.02)
            machine = await cloud.get_machine(machine_id)
        return machine


def offer_of(sandbox: Sandbox, machine_id: str) -> str:
    return next(truth.offer_id for truth in sandbox.truth if truth.id == machine_id)


async def test_a_pod_that_runs_without_a_container_is_not_ready_and_costs(sandbox, cloud, create):
    sandbox.faults.add(Fault("never_boots", provider="runpod"))
    machine_id = await create()
    for _ in range(200):
        machine = await cloud.get_machine(machine_id)
        if machine.status_message == "RUNNING":
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(1.1)
    machine = await cloud.get_machine(machine_id)
    assert (machine.status, machine.status_message) == (MachineStatus.PROVISIONING, "RUNNING")
    assert machine.connection is None
    assert next(truth for truth in sandbox.truth if truth.id == machine_id).cost_micros > 0


async def test_a_terminate_may_be_an_error_and_have_happened(sandbox, cloud, create):
    machine_id = await create()
    sandbox.faults.add(Fault("server_error", "destroy", provider="runpod", after_effect=True))
    with pytest.raises(OutcomeUnknown):
        await cloud.destroy(machine_id)
    with pytest.raises(Gone):
        await cloud.get_machine(machine_id)
    await cloud.destroy(machine_id)


async def test_a_stopped_pod_costs_nothing_more_and_starts_on_its_host_alone(sandbox, cloud, create):
    machine_id = await create()
    await until(cloud, machine_id, MachineStatus.RUNNING)
    for _ in range(2):
        await cloud.stop(machine_id)
    stopped = await until(cloud, machine_id, MachineStatus.STOPPED)
    assert (stopped.price_micros_per_hour, stopped.connection) == (0, None)
    sandbox.change_offer(offer_of(sandbox, machine_id), "withdraw")
    with pytest.raises(NoCapacity, match="not enough free GPUs"):
        await cloud.resume(machine_id)
    assert (await cloud.get_machine(machine_id)).status is MachineStatus.STOPPED
    sandbox.change_offer(offer_of(sandbox, machine_id), "restore", stock=2)
    for _ in range(2):
        await cloud.resume(machine_id)
    assert (await until(cloud, machine_id, MachineStatus.RUNNING)).price_micros_per_hour > 0


@pytest.mark.parametrize("kind", ["offer_gone", "offer_drained"])
async def test_gpus_that_are_taken_at_the_start_are_no_capacity(sandbox, cloud, create, kind):
    machine_id = await create()
    await cloud.stop(machine_id)
    sandbox.faults.add(Fault(kind, "start", provider="runpod"))
    with pytest.raises(NoCapacity):
        await cloud.resume(machine_id)
    sandbox.change_offer(offer_of(sandbox, machine_id), "restore", stock=2)


async def test_a_pod_that_comes_back_without_gpus_is_no_capacity(sandbox, cloud, create):
    machine_id = await create()
    await cloud.stop(machine_id)
    sandbox.faults.add(Fault("wrong_gpu", "start", provider="runpod"))
    with pytest.raises(NoCapacity):
        await cloud.resume(machine_id)


async def test_an_account_without_money_starts_nothing(sandbox, cloud, create):
    machine_id = await create()
    await cloud.stop(machine_id)
    sandbox.faults.add(Fault("no_credit", "start", provider="runpod"))
    with pytest.raises(QuotaExceeded):
        await cloud.resume(machine_id)


async def test_ports_that_were_ordered_are_public(cloud, create):
    machine_id = await create(ports=(8000,))
    machine = await until(cloud, machine_id, MachineStatus.RUNNING)
    assert machine.ports == {
        22: (machine.connection.host, machine.connection.port),
        8000: (machine.connection.host, 8000),
    }


async def test_everything_on_offer_can_be_had_where_it_says(cloud, order):
    offers = await cloud.list_offers()
    assert {offer.security_tier for offer in offers} == {"secure", "community"}
    assert {offer.gpu_count for offer in offers} == {1, 2, 4, 8}
    assert len({offer.gpu_name for offer in offers}) == 18
    for offer in offers[:: len(offers) // 12]:
        machine_id = await cloud.create(order(offer.offer_id, marker=f"own-{next(_numbers)}"))
        await cloud.destroy(machine_id)


async def test_the_accounts_own_keys_are_left_alone(sandbox, cloud, create, public_key):
    await cloud.ensure_ssh_key("name", public_key)
    await create()
    asked = {call.path for call in sandbox.calls if call.provider == "runpod"}
    assert asked
    assert "/v2/account/ssh-keys" not in asked


async def test_books_that_lag_are_an_estimate_until_they_reach_the_end(tmp_path, order):
    config = SandboxConfig(boot_seconds=0.1, ssh_port=0, home=tmp_path, price_step_seconds=0)
    sandbox = await Sandbox.start(replace(config, charges_lag_seconds=2))
    cloud = adapter(sandbox)
    machine_id = await cloud.create(order((await cloud.list_offers())[0].offer_id))
    await until(cloud, machine_id, MachineStatus.RUNNING)
    await asyncio.sleep(1.1)
    await cloud.destroy(machine_id)
    [truth] = sandbox.truth
    period = {"start": truth.created_at - timedelta(hours=1), "end": truth.ended_at}
    early = await cloud.realised_cost(machine_id, **period, price_micros_per_hour=truth.price_micros_per_hour)
    assert (early.exact, early.micros >= truth.price_micros_per_hour) == (False, True)
    await asyncio.sleep(2.1)
    period["start"] = truth.created_at
    late = await cloud.realised_cost(machine_id, **period, price_micros_per_hour=truth.price_micros_per_hour)
    assert (late.exact, late.micros) == (True, truth.cost_micros)
    await cloud.aclose()
    await sandbox.aclose()
