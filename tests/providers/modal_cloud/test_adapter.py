"""What is Modal's own: names that make a create idempotent, images, results, a day at most, books by the sandbox."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from app.kit.clock import SystemClock
from app.providers import (
    Gone,
    MachineStatus,
    NoCapacity,
    OutcomeUnknown,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Unavailable,
)
from app.sandbox import Fault, Sandbox, SandboxConfig

numbers = itertools.count(1)


@pytest.fixture
def fresh(order):
    """An order with a marker of its own."""

    def build(**changes):
        return order(**{"offer_id": "L4:1", "marker": f"own-{next(numbers)}", "region_id": "any", **changes})

    return build


def sent(sandbox: Sandbox, name: str) -> int:
    return sum(call.path.endswith(f"/{name}") for call in sandbox.calls)


def made(sandbox: Sandbox, marker: str):
    return [machine for machine in sandbox._world.fleet.machines("modal") if machine.marker == marker]


async def until_gone(modal, machine_id):
    async with asyncio.timeout(20):
        while True:
            try:
                await modal.get_machine(machine_id)
            except Gone:
                return
            await asyncio.sleep(0.05)


async def until(modal, machine_id, status):
    async with asyncio.timeout(20):
        while True:
            machine = await modal.get_machine(machine_id)
            if machine.status is status:
                return machine
            await asyncio.sleep(0.05)


async def test_a_sandbox_is_made_as_ordered(modal, modal_sandbox, fresh):
    order = fresh(offer_id="H100!:2", env={"A": "1 b'\"$x"}, ports=(8000, 22), image="nvcr.io/nvidia/pytorch:25.01-py3")
    machine_id = await modal.create(order)
    (machine,) = made(modal_sandbox, order.marker)
    assert machine.id == machine_id
    assert machine.tags == {"marker": order.marker}
    assert machine.ports == (22, 8000)
    assert machine.timeout_seconds == modal.capability.machine_seconds_max == 86_400
    assert {name: machine.env[name] for name in order.env} == order.env
    assert machine.keys == [" ".join(order.platform_public_key.split()[:2])]
    lines = modal_sandbox._modal.workspace.images[machine.image_id]
    assert lines[0] == "FROM nvcr.io/nvidia/pytorch:25.01-py3"
    assert any("openssh" in line for line in lines)
    offer = next(offer for offer in await modal.list_offers() if offer.offer_id == order.offer_id)
    assert machine.price_micros_per_hour == offer.price_micros_per_hour
    machine = await until(modal, machine_id, MachineStatus.RUNNING)
    assert set(machine.ports) == {8000}
    await modal.destroy(machine_id)


async def test_offers_cost_what_the_cloud_charges_for_them(modal, modal_sandbox, fresh):
    for offer in {offer.gpu_name: offer for offer in await modal.list_offers()}.values():
        order = fresh(offer_id=offer.offer_id)
        machine_id = await modal.create(order)
        (machine,) = made(modal_sandbox, order.marker)
        assert (machine.price_micros_per_hour, machine.gpu.count) == (offer.price_micros_per_hour, offer.gpu_count)
        assert abs(machine.gpu.vram_mib - offer.vram_mib) * 20 <= offer.vram_mib
        await modal.destroy(machine_id)


async def test_a_create_that_is_repeated_finds_the_first(modal, modal_sandbox, fresh, adapters):
    order = fresh()
    first = await modal.create(order)
    assert await modal.create(order) == first
    assert await adapters().create(order) == first
    assert len(made(modal_sandbox, order.marker)) == 1
    await modal.destroy(first)
    await until_gone(modal, first)
    assert await modal.create(order) != first
    await modal.destroy((await modal.find_by_marker(order.marker)).machine_id)


async def test_twenty_creates_at_once_of_one_marker_make_one(modal, modal_sandbox, fresh, adapters):
    order, other = fresh(), adapters()
    ids = await asyncio.gather(*(cloud.create(order) for cloud in [modal, other] * 10))
    assert len(set(ids)) == len(made(modal_sandbox, order.marker)) == 1
    await modal.destroy(ids[0])


@pytest.mark.parametrize("kind", ["server_error", "timeout_after_success", "malformed"])
async def test_the_sdk_repeats_no_create(modal, modal_sandbox, fresh, kind):
    order = fresh()
    before = sent(modal_sandbox, "SandboxCreate")
    modal_sandbox.faults.add(Fault(kind, operation="create", provider="modal", mode="drop", after_effect=True, times=9))
    with pytest.raises(OutcomeUnknown):
        await modal.create(order)
    modal_sandbox.faults.clear()
    assert sent(modal_sandbox, "SandboxCreate") - before == 1
    assert len(made(modal_sandbox, order.marker)) == 1
    await modal.destroy((await modal.find_by_marker(order.marker)).machine_id)


@pytest.mark.parametrize("operation", ["account", "images"])
@pytest.mark.parametrize("kind", ["server_error", "timeout_after_success", "malformed", "slow"])
async def test_what_fails_before_the_create_leaves_nothing(adapters, modal_sandbox, fresh, impatient, operation, kind):
    modal, order = adapters(options=impatient), fresh(image=f"ubuntu:{next(numbers)}")
    modal_sandbox.faults.add(Fault(kind, operation=operation, provider="modal", seconds=3, times=None))
    with pytest.raises((Unavailable, RateLimited)):
        await modal.create(order)
    modal_sandbox.faults.clear()
    assert made(modal_sandbox, order.marker) == []


async def test_getting_ready_is_tried_again(modal, modal_sandbox, fresh):
    order = fresh(image=f"ubuntu:{next(numbers)}")
    for operation in ("account", "images"):
        modal_sandbox.faults.add(Fault("server_error", operation=operation, provider="modal", status=503))
    machine_id = await modal.create(order)
    assert len(made(modal_sandbox, order.marker)) == 1
    await modal.destroy(machine_id)


async def test_an_image_is_built_once_and_on_while_nobody_waits(adapters, modal_sandbox, fresh, impatient):
    modal = adapters(options=replace(impatient, first_byte_seconds=5))
    order = fresh(image=f"ubuntu:{next(numbers)}")
    modal_sandbox.faults.add(Fault("slow", operation="images", provider="modal", seconds=0.8))
    with pytest.raises(RateLimited, match="not built yet"):
        await modal.create(order)
    before = sent(modal_sandbox, "ImageGetOrCreate")
    await asyncio.sleep(0.8)
    machine_id = await modal.create(order)
    again = await modal.create(fresh(image=order.image))
    assert sent(modal_sandbox, "ImageGetOrCreate") == before
    for one in (machine_id, again):
        await modal.destroy(one)


async def test_an_image_that_can_not_be_had_is_our_mistake(modal, fresh):
    with pytest.raises(Rejected, match="pull access denied"):
        await modal.create(fresh(image="registry.test/private/image:1"))


async def test_orders_that_can_not_be_filled_are_not_sent(modal, modal_sandbox, fresh):
    before = len(modal_sandbox.calls)
    for wrong, error in ((fresh(disk_gb=600), Rejected), (fresh(offer_id="H100:1"), NoCapacity)):
        with pytest.raises(error):
            await modal.create(wrong)
    for name in ("MODAL=1", "-p 22"):
        with pytest.raises(Rejected):
            await modal.create(fresh(env={name: "1"}))
    assert len(modal_sandbox.calls) == before


async def test_capacity_limits_and_haste_are_told_apart(modal, modal_sandbox, fresh):
    modal_sandbox.faults.add(Fault("offer_gone", provider="modal"))
    with pytest.raises(NoCapacity):
        await modal.create(fresh())
    modal_sandbox.faults.add(Fault("no_credit", operation="create", provider="modal"))
    with pytest.raises(QuotaExceeded):
        await modal.create(fresh())


async def test_a_failed_sandbox_is_found_until_it_is_destroyed(modal, modal_sandbox, fresh, adapters):
    order = fresh()
    modal_sandbox.faults.add(Fault("never_boots", provider="modal", mode="failed"))
    machine_id = await modal.create(order)
    failed = await until(modal, machine_id, MachineStatus.FAILED)
    assert failed.status_message == "The container did not start."
    found = await modal.find_by_marker(order.marker)
    assert (found.machine_id, found.status) == (machine_id, MachineStatus.FAILED)
    assert machine_id not in {machine.machine_id for machine in await modal.list_machines("own-")}
    await modal.destroy(machine_id)
    with pytest.raises(Gone):
        await modal.get_machine(machine_id)
    assert await modal.find_by_marker(order.marker) is None
    assert await adapters().find_by_marker(order.marker) is None


async def test_when_its_day_is_over_a_sandbox_is_taken_back(modal, modal_sandbox, fresh):
    order = fresh()
    machine_id = await modal.create(order)
    (listed,) = [one for one in await modal.list_machines(order.marker) if one.machine_id == machine_id]
    assert listed.preempts_at == listed.created_at + timedelta(days=1)
    (machine,) = made(modal_sandbox, order.marker)
    modal_sandbox._modal.end_time_of(machine)
    assert (await until(modal, machine_id, MachineStatus.PREEMPTED)).status_message == "its time was over"
    await modal.destroy(machine_id)
    await until_gone(modal, machine_id)


async def test_a_machine_that_will_be_taken_back_is_told_of_and_is_preempted(modal, modal_sandbox, fresh):
    order = fresh()
    machine_id = await modal.create(order)
    await until(modal, machine_id, MachineStatus.RUNNING)
    modal_sandbox.accidents.preempt(machine_id, notice_seconds=1.5)
    due = SystemClock().now() + timedelta(seconds=1.5)
    (listed,) = await modal.list_machines(order.marker)
    assert timedelta(seconds=-1.1) < listed.preempts_at - due < timedelta(seconds=0.1)
    assert (await modal.get_machine(machine_id)).status is MachineStatus.RUNNING
    await until(modal, machine_id, MachineStatus.PREEMPTED)
    await modal.destroy(machine_id)
    await until_gone(modal, machine_id)


async def test_an_adapter_that_was_away_finds_its_machines(modal, fresh, adapters):
    order = fresh()
    machine_id = await modal.create(order)
    await modal.aclose()
    again = adapters()
    assert (await again.find_by_marker(order.marker)).machine_id == machine_id
    await again.destroy(machine_id)
    await until_gone(again, machine_id)


async def test_a_create_that_is_broken_off_ends_no_sandbox(modal, modal_sandbox, fresh):
    order = fresh()
    modal_sandbox.faults.add(Fault("slow", operation="create", provider="modal", seconds=0.3))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15):
            await modal.create(order)
    await asyncio.sleep(0.3)
    await modal.aclose()
    assert [machine.alive for machine in made(modal_sandbox, order.marker)] in ([True], [])


async def test_two_workspaces_in_one_process_do_not_see_each_other(modal, fresh, adapters):
    other = await Sandbox.start(SandboxConfig(modal_token_id="ak-other", modal_token_secret="as-other", ssh_port=0))
    elsewhere = adapters(other)
    order = fresh()
    here, there = await asyncio.gather(modal.create(order), elsewhere.create(order))
    assert (await modal.find_by_marker(order.marker)).machine_id == here
    assert (await elsewhere.find_by_marker(order.marker)).machine_id == there
    with pytest.raises(Gone):
        await modal.get_machine(there)
    await modal.destroy(here)
    await elsewhere.aclose()
    await other.aclose()


async def test_deployments_in_one_workspace_do_not_see_each_other(modal, fresh, adapters):
    other = adapters(app_name="another-deployment")
    order = fresh()
    here, there = await modal.create(order), await other.create(order)
    assert here != there
    assert {machine.machine_id for machine in await modal.list_machines(order.marker)} == {here}
    await modal.destroy(here)
    await other.destroy(there)


async def test_a_cloud_that_is_not_there_was_not_asked(adapters, fresh, impatient):
    nowhere = adapters(server_url="http://127.0.0.1:9", options=replace(impatient, connect_seconds=0.05))
    for ask in (
        nowhere.list_offers,
        lambda: nowhere.create(fresh()),
        lambda: nowhere.destroy("sb-" + "x" * 22),
        lambda: nowhere.get_machine("sb-" + "x" * 22),
    ):
        with pytest.raises(Unavailable):
            await ask()


async def test_a_connection_that_was_cut_is_made_anew(modal, modal_sandbox, fresh):
    assert await modal.list_offers()
    modal_sandbox._modal._door._server.cut()
    assert await modal.list_offers()
    modal_sandbox._modal._door._server.cut()
    await asyncio.sleep(0.05)
    await modal.destroy(await modal.create(fresh()))


async def test_an_answer_that_is_too_large_is_not_even_read(modal, modal_sandbox):
    await modal.list_offers()
    modal_sandbox.faults.add(Fault("malformed", operation="list_offers", provider="modal", mode="huge", times=None))
    with pytest.raises(Unavailable, match="larger than"):
        await modal.list_offers()
    modal_sandbox.faults.clear()
    assert await modal.list_offers()


async def test_a_price_that_has_moved_is_told_once(modal, modal_sandbox, caplog, capsys):
    modal_sandbox.change_offer("L40S", "reprice", micros_per_second=600)
    for _ in range(3):
        await modal.list_offers()
    modal_sandbox.change_offer("L40S", "reprice", micros_per_second=542)
    await modal.list_offers()
    assert (caplog.text + "".join(capsys.readouterr())).count("price_differs") == 1


async def test_books_that_lag_give_an_estimate_first(fresh, adapters):
    sandbox = await Sandbox.start(SandboxConfig(boot_seconds=0.05, ssh_port=0, charges_lag_seconds=3600))
    modal = adapters(sandbox)
    machine_id = await modal.create(fresh())
    await until(modal, machine_id, MachineStatus.RUNNING)
    await asyncio.sleep(1.1)
    at = SystemClock().now()
    early = await modal.realised_cost(
        machine_id, start=at - timedelta(hours=1), end=at, price_micros_per_hour=1_000_000
    )
    assert (early.micros, early.exact) == (1_000_000, False)
    assert await modal.list_costs(start=at - timedelta(days=3), end=at) == []
    await modal.aclose()
    await sandbox.aclose()


async def test_the_books_tell_of_other_apps_by_their_id(modal, modal_sandbox, fresh, adapters):
    other = adapters(app_name="somebody-elses")
    ours, theirs = await modal.create(fresh()), await other.create(fresh())
    await until(modal, ours, MachineStatus.RUNNING)
    await until(other, theirs, MachineStatus.RUNNING)
    await asyncio.sleep(1.1)
    await asyncio.gather(modal.destroy(ours), other.destroy(theirs))
    at = SystemClock().now()
    lines = await modal.list_costs(start=at - timedelta(days=1), end=at + timedelta(hours=1))
    costs = {truth.id: truth.cost_micros for truth in modal_sandbox.truth}
    told = {line.machine_id: line.micros for line in lines}
    assert told[ours] == costs[ours] > 0
    app_id = modal_sandbox._modal.workspace.app_id("somebody-elses")
    assert told[app_id] == costs[theirs] > 0
    assert theirs not in told
    assert {line.marker for line in lines if line.machine_id == app_id} == {None}
