"""What the contract promises of a cloud that does as it says."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import asyncssh
import pytest

from app.providers import (
    Gone,
    LambdaProvider,
    MachineStatus,
    NoCapacity,
    NotYet,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    Unsupported,
    WireOptions,
)
from app.sandbox import Sandbox, SandboxConfig
from tests.providers.rushing import rush


async def test_offers_are_whole(scene):
    offers = await scene.cloud.list_offers()
    assert len({(offer.offer_id, offer.spot) for offer in offers}) == len(offers) > 5
    assert any(offer.spot for offer in offers) == scene.cloud.capability.spot
    for offer in offers:
        assert offer.provider == scene.name == scene.cloud.capability.name
        assert offer.gpu_count >= 1
        assert offer.vram_mib > 8000
        assert 10_000 < offer.price_micros_per_hour / offer.gpu_count < 20_000_000
        assert offer.region_id
        assert offer.country is None or len(offer.country) == 2


async def test_a_machines_whole_life(scene):
    order = await scene.order()
    machine_id = await scene.cloud.create(order)
    found = await scene.cloud.find_by_marker(order.marker)
    assert (found.machine_id, found.status) == (machine_id, MachineStatus.PROVISIONING)
    machine = await scene.until(machine_id, MachineStatus.RUNNING)
    assert machine.marker == order.marker
    where = machine.connection
    async with asyncssh.connect(
        where.host, where.port, username=where.username, client_keys=[scene.key], known_hosts=None, config=None
    ) as ssh:
        assert "GPU 0" in (await ssh.run("nvidia-smi -L", check=True)).stdout
    await scene.cloud.destroy(machine_id)
    await scene.until_gone(machine_id)
    assert machine_id not in {machine.machine_id for machine in await scene.cloud.list_machines("own-")}
    assert await scene.cloud.find_by_marker(order.marker) is None


async def test_to_destroy_the_unknown_is_success(scene):
    order = await scene.order()
    machine_id = await scene.cloud.create(order)
    for _ in range(3):
        await scene.cloud.destroy(machine_id)
    await scene.until_gone(machine_id)
    await scene.cloud.destroy(machine_id)
    await scene.cloud.destroy("999999999")


async def test_the_unknown_is_gone(scene):
    with pytest.raises(Gone):
        await scene.cloud.get_machine("999999999")
    assert await scene.cloud.find_by_marker("own-nobody") is None


async def test_strangers_machines_are_invisible(scene):
    stranger = scene.another()
    their_id = await stranger.create(await scene.order(marker="theirs-1"))
    our_id = await scene.cloud.create(await scene.order())
    listed = {machine.machine_id for machine in await scene.cloud.list_machines("own-")}
    assert our_id in listed
    assert their_id not in listed
    assert await scene.cloud.find_by_marker("own-") is None
    assert await scene.cloud.find_by_marker("theirs") is None
    await stranger.destroy(their_id)
    await stranger.aclose()


async def test_lists_are_told_to_the_end(scene):
    offers = [offer for offer in await scene.cloud.list_offers() if not offer.spot]
    scene.fault("never_boots", times=None)
    made = set()
    while offers and len(made) < 30:
        try:
            made.add(await scene.cloud.create(scene.ordered(offers[0])))
        except NoCapacity:
            offers.pop(0)
        else:
            offers.append(offers.pop(0))
    assert len(made) == 30
    assert made <= {machine.machine_id for machine in await scene.cloud.list_machines("own-")}


async def test_an_offer_that_never_was_is_no_capacity_or_rejected(scene):
    order = await scene.order()
    for offer_id in ("999999999", "gpu_9x_none:us-east-1", "../../x", ""):
        unknown = await scene.order(offer_id=offer_id, marker=order.marker)
        with pytest.raises((NoCapacity, Rejected)):
            await scene.cloud.create(unknown)
    assert scene.made(order.marker) == 0


async def test_keys_are_ensured_once_and_removed_for_good(scene):
    line = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode()
    key_id = await scene.cloud.ensure_ssh_key("name", line)
    other = scene.another()
    assert await other.ensure_ssh_key("another", line) == key_id
    await other.aclose()
    for _ in range(2):
        await scene.cloud.remove_ssh_key(key_id)
    assert (await scene.cloud.ensure_ssh_key("name again", line) != key_id) == scene.keeps_keys


async def test_a_stop_keeps_the_machine_where_the_cloud_can(scene):
    machine_id = await scene.cloud.create(await scene.order())
    await scene.until(machine_id, MachineStatus.RUNNING)
    if not scene.cloud.capability.stop:
        with pytest.raises(Unsupported):
            await scene.cloud.stop(machine_id)
        return
    await scene.cloud.stop(machine_id)
    await scene.until(machine_id, MachineStatus.STOPPED)
    with pytest.raises(Gone):
        await scene.cloud.stop("999999999")


async def test_a_stopped_machine_starts_again_with_its_files_where_the_cloud_can(scene):
    machine_id = await scene.cloud.create(await scene.order())
    machine = await scene.until(machine_id, MachineStatus.RUNNING)
    if not scene.cloud.capability.stop:
        with pytest.raises(Unsupported):
            await scene.cloud.resume(machine_id)
        return
    await scene.run(machine, "echo kept > kept")
    await scene.cloud.stop(machine_id)
    await scene.until(machine_id, MachineStatus.STOPPED)
    await scene.cloud.resume(machine_id)
    again = await scene.until(machine_id, MachineStatus.RUNNING)
    assert (again.marker, await scene.run(again, "cat kept")) == (machine.marker, "kept\n")
    with pytest.raises(Gone):
        await scene.cloud.resume("999999999")


async def test_a_machine_hibernates_and_is_restored_with_its_files_where_the_cloud_can(scene):
    offer = await scene.hibernating_offer()
    machine_id = await scene.cloud.create(scene.ordered(offer))
    if not scene.cloud.capability.hibernate:
        with pytest.raises(Unsupported):
            await scene.cloud.hibernate(machine_id)
        return
    with pytest.raises(NotYet):
        await scene.cloud.hibernate(machine_id)
    machine = await scene.until(machine_id, MachineStatus.RUNNING)
    await scene.run(machine, "echo kept > kept")
    await scene.cloud.hibernate(machine_id)
    with pytest.raises(NotYet):
        await scene.cloud.resume(machine_id)
    assert (await scene.until(machine_id, MachineStatus.HIBERNATED)).connection is None
    assert (await scene.cloud.find_by_marker(machine.marker)).status is MachineStatus.HIBERNATED
    for _ in range(2):
        await scene.cloud.resume(machine_id)
    again = await scene.until(machine_id, MachineStatus.RUNNING)
    assert (again.marker, await scene.run(again, "cat kept")) == (machine.marker, "kept\n")
    with pytest.raises(Gone):
        await scene.cloud.hibernate("999999999")


async def test_what_hibernates_costs_its_disk_alone_and_ends_like_any_other(hibernating):
    scene = hibernating
    offer = await scene.hibernating_offer()
    machine_id = await scene.cloud.create(scene.ordered(offer))
    await scene.until(machine_id, MachineStatus.RUNNING)
    await scene.cloud.hibernate(machine_id)
    await scene.until(machine_id, MachineStatus.HIBERNATED)
    before = scene.truth(machine_id)
    await asyncio.sleep(1.1)
    assert scene.truth(machine_id).gpu_seconds == before.gpu_seconds
    grown = scene.truth(machine_id).cost_micros - before.cost_micros
    assert 0 < grown <= -(-offer.stopped_micros_per_hour * 3 // 3600)
    assert offer.stopped_micros_per_hour * 20 < offer.price_micros_per_hour
    await scene.cloud.destroy(machine_id)
    await scene.until_gone(machine_id)


@pytest.mark.parametrize("kind", ["offer_gone", "offer_drained"])
async def test_a_restore_whose_gpu_is_taken_is_no_capacity_and_the_machine_hibernates_on(hibernating, kind):
    scene = hibernating
    machine_id = await scene.cloud.create(scene.ordered(await scene.hibernating_offer()))
    await scene.until(machine_id, MachineStatus.RUNNING)
    await scene.cloud.hibernate(machine_id)
    await scene.until(machine_id, MachineStatus.HIBERNATED)
    scene.fault(kind, operation="start")
    with pytest.raises(NoCapacity):
        await scene.cloud.resume(machine_id)
    machine = await scene.cloud.get_machine(machine_id)
    assert machine.status is MachineStatus.HIBERNATED
    scene.restock(machine_id)
    await scene.cloud.resume(machine_id)
    await scene.until(machine_id, MachineStatus.RUNNING)


async def test_a_hibernation_without_an_answer_is_unknown_and_never_repeated(hibernating):
    scene = hibernating
    machine_id = await scene.cloud.create(scene.ordered(await scene.hibernating_offer()))
    await scene.until(machine_id, MachineStatus.RUNNING)
    scene.fault("timeout_after_success", operation="hibernate", mode="drop")
    with pytest.raises(OutcomeUnknown):
        await scene.cloud.hibernate(machine_id)
    await scene.until(machine_id, MachineStatus.HIBERNATED)
    scene.fault("timeout_after_success", operation="start", mode="drop")
    with pytest.raises(OutcomeUnknown):
        await scene.cloud.resume(machine_id)
    await scene.until(machine_id, MachineStatus.RUNNING)
    assert (scene.count("hibernate"), scene.count("resume")) == (1, 1)


async def test_the_cost_is_what_the_cloud_charged_and_the_days_books_tell_of_everybody(scene):
    stranger = scene.another()
    theirs = await stranger.create(await scene.order(marker=f"theirs-{uuid.uuid4().hex[:8]}"))
    ours = await scene.cloud.create(await scene.order())
    for machine_id in (theirs, ours):
        await scene.until(machine_id, MachineStatus.RUNNING)
    await asyncio.sleep(1.3)
    for machine_id in (theirs, ours):
        await stranger.destroy(machine_id)
        await scene.until_gone(machine_id)
    await stranger.aclose()
    await _costs_what_it_did(scene, scene.truth(ours))
    await _is_in_the_books(scene, [scene.truth(theirs), scene.truth(ours)])


async def _costs_what_it_did(scene, truth) -> None:
    found = await scene.cloud.realised_cost(
        truth.id,
        start=truth.created_at - timedelta(seconds=2),
        end=truth.ended_at,
        price_micros_per_hour=truth.price_micros_per_hour,
    )
    assert found.exact == (scene.cloud.capability.realised_cost == "exact")
    assert truth.cost_micros > 0
    if found.exact:
        assert abs(found.micros - truth.cost_micros) <= 10
    else:
        assert found.micros >= truth.cost_micros


async def _is_in_the_books(scene, truths) -> None:
    start = truths[0].created_at.replace(hour=0, minute=0, second=0, microsecond=0)
    end = start + timedelta(days=1 + (truths[-1].ended_at.date() > start.date()))
    if scene.cloud.capability.realised_cost == "estimate":
        with pytest.raises(Unsupported):
            await scene.cloud.list_costs(start=start, end=end)
        return
    lines = {line.machine_id: line for line in await scene.cloud.list_costs(start=start, end=end)}
    for truth in truths:
        assert abs(lines[truth.id].micros - truth.cost_micros) <= 10
        assert lines[truth.id].marker in {truth.marker, None}
    earlier = await scene.cloud.list_costs(start=start - timedelta(days=9), end=start - timedelta(days=8))
    assert {truth.id for truth in truths}.isdisjoint(line.machine_id for line in earlier)


async def test_every_call_is_counted(scene):
    scene.calls.clear()
    await scene.cloud.list_machines("own-")
    with pytest.raises(Gone):
        await scene.cloud.get_machine("999999999")
    assert scene.calls[0] == (scene.name, "list_machines", "ok")
    assert {call[1] for call in scene.calls} == {"list_machines", "get_machine"}


async def test_a_bid_is_rented_and_outbid(vast_only):
    scene = vast_only
    machine_id = await scene.cloud.create(await scene.order(spot=True))
    await scene.until(machine_id, MachineStatus.RUNNING)
    scene.sandbox.accidents.outbid(machine_id)
    machine = await scene.until(machine_id, MachineStatus.PREEMPTED)
    assert machine.connection is None


async def test_at_its_own_pace_an_adapter_is_never_too_fast(tmp_path):
    sandbox = await Sandbox.start(SandboxConfig(rate_limits=True, home=tmp_path, ssh_port=0))
    cloud = LambdaProvider(api_key=sandbox.config.lambda_key, base_url=sandbox.url)
    for _ in range(3):
        await cloud.list_machines("own-")
    assert [call.status for call in sandbox.calls].count(200) == 3
    hasty = LambdaProvider(api_key=sandbox.config.lambda_key, base_url=sandbox.url, options=WireOptions(pace_factor=0))
    with pytest.raises(ExceptionGroup) as caught:
        await rush(lambda: hasty.list_machines("own-"), times=20)
    assert caught.value.subgroup(RateLimited)
    for each in (cloud, hasty, sandbox):
        await each.aclose()
