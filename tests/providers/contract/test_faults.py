"""What the contract promises of a cloud that refuses, breaks, lies or stays silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.providers import (
    MachineStatus,
    NoCapacity,
    OutcomeUnknown,
    Provider,
    QuotaExceeded,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from tests.soaking import in_soak

READERS: dict[str, Callable[[Provider], Awaitable[object]]] = {
    "list_offers": lambda cloud: cloud.list_offers(),
    "list_machines": lambda cloud: cloud.list_machines("own-"),
}
MALFORMED = ["truncated", "types", *in_soak("html", "empty", "duplicate_keys", "huge")]
"""The long tests take the others too."""


@pytest.mark.parametrize("mode", ["hang", "drop"])
async def test_a_create_without_an_answer_is_unknown_and_found_by_its_marker(scene, mode):
    order = await scene.order()
    scene.fault("timeout_after_success", mode=mode, seconds=10)
    with pytest.raises(OutcomeUnknown):
        await scene.cloud.create(order)
    assert await scene.cloud.find_by_marker(order.marker) is not None
    assert scene.made(order.marker) == scene.count("create") == 1


@pytest.mark.parametrize("mode", MALFORMED)
async def test_a_create_with_an_unreadable_answer_is_unknown_and_found_by_its_marker(scene, mode):
    order = await scene.order()
    scene.fault("malformed", operation="create", mode=mode)
    with pytest.raises(OutcomeUnknown):
        await scene.cloud.create(order)
    assert await scene.cloud.find_by_marker(order.marker) is not None
    assert scene.made(order.marker) == scene.count("create") == 1


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("status", [500, *in_soak(502, 503, 504)])
async def test_a_create_that_met_a_broken_server_is_unknown_and_never_repeated(scene, status, after_effect):
    order = await scene.order()
    scene.fault("server_error", operation="create", status=status, after_effect=after_effect)
    with pytest.raises(OutcomeUnknown):
        await scene.cloud.create(order)
    assert (await scene.cloud.find_by_marker(order.marker) is not None) == after_effect
    assert scene.count("create") == 1


@pytest.mark.parametrize("header", [None, "999999", *in_soak("0", "7", "Sun, 01 Mar 2099 12:00:00 GMT", "whenever")])
async def test_a_create_that_came_too_fast_made_nothing(scene, header):
    order = await scene.order()
    scene.fault("rate_limited", operation="create", retry_after=header)
    with pytest.raises(RateLimited) as caught:
        await scene.cloud.create(order)
    assert 0 <= caught.value.retry_after_seconds <= 60
    assert scene.made(order.marker) == 0


@pytest.mark.parametrize("operation", READERS)
@pytest.mark.parametrize("kind", ["rate_limited", "server_error", "malformed"])
async def test_a_reading_call_gets_over_two_faults_and_gives_up_at_the_third(scene, operation, kind):
    scene.fault(kind, operation=operation, times=2, **({"retry_after": "0"} if kind == "rate_limited" else {}))
    await READERS[operation](scene.cloud)
    scene.fault(kind, operation=operation, times=None, **({"retry_after": "0"} if kind == "rate_limited" else {}))
    with pytest.raises(RateLimited if kind == "rate_limited" else Unavailable):
        await READERS[operation](scene.cloud)


@pytest.mark.parametrize("operation", READERS)
@pytest.mark.parametrize("mode", MALFORMED)
async def test_an_unreadable_answer_to_a_reading_call_is_unavailable(scene, operation, mode):
    await scene.cloud.create(await scene.order())
    scene.fault("malformed", operation=operation, mode=mode, times=None)
    with pytest.raises(Unavailable):
        await READERS[operation](scene.cloud)


@pytest.mark.parametrize("mode", ["", "drip"])
async def test_a_slow_answer_ends_at_the_deadline(scene, mode):
    scene.fault("slow", operation="list_machines", mode=mode, seconds=60, times=None)
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable):
            await scene.cloud.list_machines("own-")


@pytest.mark.parametrize("kind", ["offer_gone", "offer_drained"])
async def test_an_offer_that_is_gone_is_no_capacity(scene, kind):
    order = await scene.order()
    scene.fault(kind, operation="create")
    with pytest.raises(NoCapacity):
        await scene.cloud.create(order)
    assert scene.made(order.marker) == 0


async def test_a_refused_key_is_unauthorized_whatever_is_asked(scene):
    order = await scene.order()
    stranger = scene.another(api_key="wrong")
    for ask in (
        *([] if scene.is_open_market else [stranger.list_offers]),
        lambda: stranger.create(order),
        lambda: stranger.find_by_marker("own-1"),
        lambda: stranger.list_machines("own-"),
        lambda: stranger.get_machine("1"),
        lambda: stranger.destroy("1"),
        *(
            [lambda: stranger.ensure_ssh_key("name", order.platform_public_key), lambda: stranger.remove_ssh_key("1")]
            if scene.keeps_keys
            else []
        ),
    ):
        with pytest.raises(Unauthorized):
            await ask()
    await stranger.aclose()


async def test_an_account_without_money_is_told(scene):
    order = await scene.order()
    scene.fault("no_credit", operation="create")
    with pytest.raises(QuotaExceeded):
        await scene.cloud.create(order)
    assert scene.made(order.marker) == 0


@pytest.mark.parametrize("mode", ["error", "lies"])
async def test_a_destroy_that_did_nothing_shows_when_looking(scene, mode):
    machine_id = await scene.cloud.create(await scene.order())
    await scene.until(machine_id, MachineStatus.RUNNING)
    scene.fault("delete_fails", mode=mode)
    try:
        await scene.cloud.destroy(machine_id)
        assert mode == "lies"
    except OutcomeUnknown:
        assert mode == "error"
    assert (await scene.cloud.get_machine(machine_id)).status is MachineStatus.RUNNING
    await scene.cloud.destroy(machine_id)
    await scene.until_gone(machine_id)


async def test_a_list_may_lag_behind_a_create(scene):
    order = await scene.order()
    scene.fault("lists_late", seconds=0.5)
    machine_id = await scene.cloud.create(order)
    assert await scene.cloud.find_by_marker(order.marker) is None
    await asyncio.sleep(0.6)
    assert (await scene.cloud.find_by_marker(order.marker)).machine_id == machine_id


async def test_a_failed_boot_is_failed(scene):
    scene.fault("never_boots", mode="failed")
    machine_id = await scene.cloud.create(await scene.order())
    assert (await scene.until(machine_id, MachineStatus.FAILED)).connection is None


async def test_a_broken_host_is_failed_and_a_vanished_machine_gone(scene):
    machine_id = await scene.cloud.create(await scene.order())
    await scene.until(machine_id, MachineStatus.RUNNING)
    scene.sandbox.accidents.fail(machine_id)
    await scene.until(machine_id, MachineStatus.FAILED)
    scene.sandbox.accidents.vanish(machine_id)
    await scene.until_gone(machine_id)


async def test_a_bid_below_the_floor_hands_on_the_contract_it_left(vast_only):
    scene = vast_only
    order = await scene.order(spot=True, bid_micros_per_hour=1_000)
    scene.fault("leaves_contract")
    with pytest.raises(NoCapacity) as caught:
        await scene.cloud.create(order)
    left = caught.value.machine_id
    assert (await scene.cloud.get_machine(left)).marker == order.marker
    await scene.cloud.destroy(left)
    await scene.until_gone(left)
