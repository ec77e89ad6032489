"""Everything a cloud can do wrong while a rental is placed, runs, or goes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncssh
import pytest

from app import wallet
from app.machines import open_shell
from app.providers import Order
from app.rentals import invariants
from app.rentals.models import OrphanRow
from app.rentals.placing.booting import connection_of
from app.rentals.reconcilers import destroying_machines, ending, placing, sweeps, visits, watching
from app.sandbox import Fault

FAULTS = {
    "a create that times out though it succeeded": Fault("timeout_after_success", operation="create", mode="drop"),
    "a create answered with 500 though it succeeded": Fault("server_error", operation="create", after_effect=True),
    "a create answered with 503": Fault("server_error", operation="create", status=503),
    "a create answered with garbage": Fault("malformed", operation="create", mode="html"),
    "a create refused for pace": Fault("rate_limited", operation="create", retry_after="1"),
    "an offer that is gone": Fault("offer_gone"),
    "an offer that is sold out": Fault("offer_drained"),
    "a price that went up": Fault("price_changed"),
    "a machine that never boots": Fault("never_boots"),
    "a machine that fails to boot": Fault("never_boots", mode="failed"),
    "a machine of another GPU": Fault("wrong_gpu"),
    "a machine with a GPU too few": Fault("wrong_gpu", mode="count"),
    "a machine without SSH": Fault("no_ssh"),
    "a machine that vanishes while it is checked": Fault("vanishes", seconds=0),
    "a machine that lists show late": Fault("lists_late", seconds=1),
    "a machine that nobody knows at first": Fault("lists_late", seconds=1, mode="everywhere"),
    "no answer about the machine": Fault("server_error", operation="get_machine", times=3),
    "garbage about the machine": Fault("malformed", operation="get_machine", times=2, mode="types"),
    "a delete that fails": Fault("delete_fails", mode="error", times=3),
    "a delete that lies": Fault("delete_fails", mode="lies", times=2),
}


@pytest.mark.parametrize("what", FAULTS)
async def test_a_rental_survives(what: str, stage: Any, rich: Any) -> None:
    account = await rich()
    stage.sandbox.faults.add(FAULTS[what])
    made = await stage.request(account)

    rental = await stage.until_status(made.rental_id, "running", "failed")

    assert rental.status == "running", rental.failure
    assert rental.rate == made.rate
    await stage.stop(account, made.rental_id)
    await stage.until_rest()
    await nothing_is_left(stage)
    balance = await stage.balance(account)
    ran = (await stage.rental(made.rental_id)).ended_at - rental.running_at
    assert (balance.available, balance.reserved) == (50_000_000 - made.rate * ran.seconds // 3600, 0)


async def test_with_nothing_to_be_had_the_rental_fails_and_everything_comes_back(stage: Any, rich: Any) -> None:
    account = await rich()
    stage.sandbox.faults.add(Fault("offer_gone", times=None))
    made = await stage.request(account)

    rental = await stage.until_status(made.rental_id, "running", "failed")

    assert rental.failure["reason"] == "no_capacity"
    assert len(await stage.attempts(made.rental_id)) > 1
    balance = await stage.balance(account)
    assert (balance.available, balance.reserved) == (50_000_000, 0)
    await nothing_is_left(stage)


async def test_a_cloud_that_refuses_our_key_is_told_as_ours(stage: Any, rich: Any) -> None:
    account = await rich()
    stage.sandbox.faults.add(Fault("unauthorized", operation="create", times=None))
    made = await stage.request(account)
    rental = await stage.until_status(made.rental_id, "running", "failed")
    assert rental.failure["fault_party"] == "hourglass"


async def test_the_next_listing_is_tried_at_the_locked_rate(stage: Any, rich: Any) -> None:
    account = await rich()
    stage.sandbox.faults.add(Fault("wrong_gpu"))
    made = await stage.request(account)

    await stage.until_status(made.rental_id, "running")

    first, second = await stage.attempts(made.rental_id)
    assert first.reason == "gpu_mismatch"
    assert second.listing["listing_id"] != first.listing["listing_id"]
    assert (await stage.rental(made.rental_id)).rate == made.rate


async def test_a_stop_during_a_create_leaves_no_machine(stage: Any, rich: Any) -> None:
    account = await rich()
    stage.sandbox.faults.add(Fault("timeout_after_success", operation="create", mode="drop"))
    made = await stage.request(account)
    for _ in range(3):
        await stage.run(destroying_machines)

    stopped = await stage.stop(account, made.rental_id)

    assert stopped.status in {"stopped", "stopping"}
    await stage.until_rest()
    await nothing_is_left(stage)


async def test_a_stopped_rental_does_not_wait_for_a_machine_that_never_was(stage: Any, rich: Any) -> None:
    account = await rich()
    stage.sandbox.faults.add(Fault("server_error", operation="create", status=500))
    made = await stage.request(account)
    await stage.run(placing)
    await stage.stop(account, made.rental_id)
    stage.clock.advance(2 * stage.tools.limits.create_seconds)

    await stage.run(destroying_machines)

    assert (await stage.rental(made.rental_id)).status == "stopped"
    assert (await stage.attempts(made.rental_id))[-1].status == "doomed"
    await stage.until_rest()
    await nothing_is_left(stage)


async def test_a_host_that_dies_young_costs_nothing(stage: Any, rich: Any) -> None:
    account, made = await running(stage, rich)
    stage.clock.advance(300)
    await vanish(stage)

    await watch_until_lost(stage, made.rental_id)

    rental = await stage.rental(made.rental_id)
    assert (rental.status, rental.failure["reason"]) == ("failed", "host_lost")
    balance = await stage.balance(account)
    assert (balance.available, balance.reserved) == (50_000_000, 0)
    await stage.until_rest()
    await nothing_is_left(stage)


async def test_a_host_that_dies_old_is_charged_to_its_last_pulse(stage: Any, rich: Any) -> None:
    account, made = await running(stage, rich)
    stage.clock.advance(1000)
    await stage.run(watching)
    pulse = (await stage.rental(made.rental_id)).heartbeat_at
    await vanish(stage)
    stage.clock.advance(700)
    await settle(stage, account)

    await watch_until_lost(stage, made.rental_id)

    rental = await stage.rental(made.rental_id)
    seconds = int((pulse - rental.running_at) / timedelta(seconds=1))
    assert (await stage.balance(account)).available == 50_000_000 - made.rate * seconds // 3600


async def test_a_cloud_that_is_down_proves_nothing(stage: Any, rich: Any) -> None:
    _, made = await running(stage, rich)
    stage.sandbox.faults.add(Fault("server_error", operation="list_machines", times=20))
    for _ in range(5):
        stage.clock.advance(60)
        await stage.run(watching)
    assert (await stage.rental(made.rental_id)).status == "running"


async def test_a_machine_that_nobody_owns_is_destroyed_and_a_strangers_is_not(stage: Any, rich: Any) -> None:
    account = await rich()
    made = await stage.request(account)
    cloud = stage.tools.providers["vast"]
    ours = await cloud.create(order(stage, made, f"{stage.tools.marker_prefix}rent_01JZZZZZZZZZZZZZZZZZZZZZZZ-1"))
    stranger = await cloud.create(order(stage, made, "somebody-elses", offer=1))

    assert (await stage.run(sweeps))["watching"] == 1
    async with stage.databases.worker.begin_unscoped() as session:
        assert await session.get(OrphanRow, ("vast", ours)) is not None
    stage.clock.advance(30)
    assert (await stage.run(sweeps))["destroyed"] == 1

    await asyncio.sleep(0.2)
    assert [truth.marker for truth in stage.alive()] == ["somebody-elses"]
    await cloud.destroy(stranger)


async def test_a_machine_that_turns_up_long_after_its_attempt_is_doomed_again(stage: Any, rich: Any) -> None:
    account = await rich()
    stage.sandbox.faults.add(Fault("server_error", operation="create", status=500))
    made = await stage.request(account)
    await stage.until_status(made.rental_id, "running")
    await stage.stop(account, made.rental_id)
    await stage.until_rest()
    first = (await stage.attempts(made.rental_id))[0]
    late = await stage.tools.providers["vast"].create(order(stage, made, first.marker))

    await stage.run(sweeps)
    await stage.until_rest()

    assert (await stage.attempts(made.rental_id))[0].machine_id == late
    await nothing_is_left(stage)


async def test_time_and_money_end_a_rental_to_the_second(stage: Any, rich: Any) -> None:
    account = await rich()
    made = await stage.request(account, max_duration_seconds=600)
    await stage.until_status(made.rental_id, "running")
    stage.clock.advance(2000)

    rental = await stage.until_status(made.rental_id, "stopped")

    assert rental.end_reason == "max_duration"
    assert (await stage.balance(account)).available == 50_000_000 - made.rate * 600 // 3600


async def test_an_empty_wallet_ends_a_rental_before_its_last_funded_second(stage: Any, rich: Any) -> None:
    account = await rich(400_000)
    made = await stage.request(account)
    rental = await stage.until_status(made.rental_id, "running")
    for _ in range(30):
        stage.clock.advance(600)
        await settle(stage, account)
        await stage.run(ending)
        await stage.until_rest()
        rental = await stage.rental(made.rental_id)
        if rental.status != "running":
            break
    assert rental.end_reason == "wallet_empty"
    balance = await stage.balance(account)
    assert balance.reserved == 0
    assert 0 <= balance.available < made.rate // 4


@pytest.mark.usefixtures("real_machines")
async def test_customers_keys_open_the_machine_and_changed_keys_follow(stage: Any, rich: Any) -> None:
    mine, other = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    account = await rich()
    made = await stage.request(account, ssh_keys=({"id": None, "public_key": line(mine)},))
    await stage.until_status(made.rental_id, "running")
    assert await enters(stage, made.rental_id, mine)

    async with stage.databases.worker.begin_unscoped() as session:
        from app.rentals import queries

        rental = await queries.lock_rental(session, account_id=account, rental_id=made.rental_id)
        rental.ssh_keys, rental.keys_version = [{"id": None, "public_key": line(other)}], rental.keys_version + 1
    assert (await stage.run(visits))["keys"] == 1

    assert await enters(stage, made.rental_id, other)
    assert not await enters(stage, made.rental_id, mine)


@pytest.mark.usefixtures("real_machines")
async def test_the_startup_script_runs_with_its_environment_and_its_output_is_kept(stage: Any, rich: Any) -> None:
    account = await rich()
    launch = {"startup_script": 'echo "hello $WHO"', "env": {"WHO": "o'clock; $(id)"}}
    made = await stage.request(account, launch=launch)
    await stage.until_status(made.rental_id, "running")

    async def ended() -> bool:
        await stage.run(visits)
        return (await stage.rental(made.rental_id)).log_exit is not None

    await stage.until(ended)

    from app.rentals import queries

    async with stage.databases.api.begin(account) as session:
        logs = await queries.list_logs(session, account_id=account, rental_id=made.rental_id, offset=0, limit=10)
    assert "".join(log.text for log in logs) == "hello o'clock; $(id)\n"
    assert (await stage.rental(made.rental_id)).log_exit == 0


async def running(stage: Any, rich: Any) -> tuple[Any, Any]:
    account = await rich()
    made = await stage.request(account)
    await stage.until_status(made.rental_id, "running")
    return account, made


async def vanish(stage: Any) -> None:
    for truth in stage.alive():
        stage.sandbox.accidents.vanish(truth.id)
    await asyncio.sleep(0.1)


async def watch_until_lost(stage: Any, rental_id: str) -> None:
    for _ in range(10):
        await stage.run(watching)
        if (await stage.rental(rental_id)).status != "running":
            return
        stage.clock.advance(30)
    raise AssertionError("never noticed")


async def settle(stage: Any, account: Any) -> None:
    async with stage.databases.worker.begin_unscoped() as session:
        due = await wallet.find_due(session, at=stage.clock.now(), slots=(0, 599), buckets=list(range(64)), limit=1000)
        await wallet.settle(session, due, at=stage.clock.now())


async def nothing_is_left(stage: Any) -> None:
    assert stage.alive() == []
    async with stage.databases.worker.begin_unscoped() as session:
        assert await invariants.broken(session) == {}


def order(stage: Any, made: Any, marker: str, *, offer: int = 0) -> Order:
    offers = [str(one["id"]) for one in stage.sandbox.offers() if one["provider"] == "vast" and one["gpu_count"] == 1]
    return Order(
        marker=marker,
        offer_id=offers[-1 - offer],
        region_id="any",
        spot=False,
        bid_micros_per_hour=None,
        image="ubuntu:24.04",
        disk_gb=20,
        platform_public_key=stage.tools.platform_key.public,
    )


def line(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


async def enters(stage: Any, rental_id: str, key: asyncssh.SSHKey) -> bool:
    attempt = (await stage.attempts(rental_id))[-1]
    from app.machines import AuthRefused

    try:
        async with open_shell(
            connection_of(attempt), private_key=key, deadline_seconds=10, known_host=attempt.host_key
        ) as shell:
            return (await shell.run("true")).status == 0
    except AuthRefused:
        return False
