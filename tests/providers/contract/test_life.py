"""What the contract promises of a cloud that does as it says."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncssh
import pytest

from app.providers import (
    Gone,
    LambdaProvider,
    MachineStatus,
    NoCapacity,
    RateLimited,
    Rejected,
    Unsupported,
    WireOptions,
)
from app.sandbox import Sandbox, SandboxConfig


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
    if scene.cloud.capability.stop:
        await scene.cloud.stop(machine_id)
        await scene.until(machine_id, MachineStatus.STOPPED)
        with pytest.raises(Gone):
            await scene.cloud.stop("999999999")
    else:
        with pytest.raises(Unsupported):
            await scene.cloud.stop(machine_id)


async def test_the_cost_is_what_the_cloud_charged(scene):
    order = await scene.order()
    machine_id = await scene.cloud.create(order)
    await scene.until(machine_id, MachineStatus.RUNNING)
    await asyncio.sleep(2.2)
    await scene.cloud.destroy(machine_id)
    await scene.until_gone(machine_id)
    truth = next(truth for truth in scene.sandbox.truth if truth.id == machine_id)
    found = await scene.cloud.realised_cost(
        machine_id,
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
    with pytest.raises(RateLimited):
        await asyncio.gather(*(hasty.list_machines("own-") for _ in range(20)))
    for each in (cloud, hasty, sandbox):
        await each.aclose()
