"""Hibernation against the sandbox: off and on again, billed for the disk alone in between, and what may go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from app import catalog, wallet
from app.kit.errors import InvalidState
from app.kit.ids import AccountId, RentalId
from app.providers import MachineStatus
from app.providers.hyperstack import HyperstackProvider
from app.rentals import invariants, queries
from app.rentals.errors import CannotHibernate
from app.rentals.keeping.hibernating import HIBERNATE_SECONDS, hibernate
from app.rentals.placing.resuming import resume
from app.rentals.reconcilers import dormancy, ending, hibernation, placing, sweeps, visits
from app.sandbox import Fault


async def act(stage: Any, deed: Any, account: AccountId, rental_id: RentalId) -> Any:
    async with stage.databases.api.begin(account) as session:
        return await deed(session, account_id=account, rental_id=rental_id, actor="test", at=stage.clock.now())


async def running(stage: Any, account: AccountId, **wishes: Any) -> tuple[Any, Any]:
    made = await stage.request(account, **wishes)
    rental = await stage.until_status(made.rental_id, "running", "failed")
    assert rental.status == "running", rental.failure
    stage.clock.at = rental.running_at
    return made, rental


async def hibernated(stage: Any, account: AccountId, **wishes: Any) -> tuple[Any, Any]:
    made, _ = await running(stage, account, **wishes)
    stage.clock.advance(100)
    await act(stage, hibernate, account, made.rental_id)
    return made, await stage.until_status(made.rental_id, "hibernated")


async def sound(stage: Any) -> None:
    async with stage.databases.worker.begin_unscoped() as session:
        assert await invariants.broken(session) == {}


async def cost(stage: Any, account: AccountId, rental_id: RentalId) -> int:
    async with stage.databases.api.begin(account) as session:
        [view] = (await wallet.find_holds(session, account_id=account, rental_ids=[rental_id])).values()
        return view.meter.charged + view.meter.accrued(stage.clock.now()) - view.refunded


async def events(stage: Any, rental_id: str) -> list[tuple[str, Any]]:
    connection = await asyncpg.connect(stage.databases.urls.admin)
    rows = await connection.fetch("SELECT type, data FROM events WHERE subject = $1 ORDER BY seq", rental_id)
    await connection.close()
    return [(row["type"], row["data"]) for row in rows]


def truth_of(stage: Any, machine_id: str) -> Any:
    return next(truth for truth in stage.sandbox.truth if truth.id == machine_id)


async def test_a_rental_sleeps_for_its_disk_and_wakes_on_its_own_machine(stage, rich) -> None:
    account = await rich()
    made, rental = await running(stage, account)
    assert 0 < rental.stopped_rate < rental.rate
    stage.clock.advance(100)
    ran = made.rate * 100 // 3600

    asleep = await act(stage, hibernate, account, made.rental_id)
    assert asleep.status == "hibernating"
    stage.clock.advance(50)
    assert await cost(stage, account, made.rental_id) == ran
    rental = await stage.until_status(made.rental_id, "hibernated")
    stage.clock.at = rental.hibernated_at
    assert await cost(stage, account, made.rental_id) == ran
    balance = await stage.balance(account)
    assert (balance.reserved, balance.burn_per_hour) == (rental.stopped_rate, rental.stopped_rate)
    await sound(stage)

    stage.clock.at = rental.hibernated_at + timedelta(seconds=3000)
    slept = ran + rental.stopped_rate * 3000 // 3600
    assert await cost(stage, account, made.rental_id) == slept
    before = await stage.balance(account)
    await act(stage, resume, account, made.rental_id)
    after = await stage.balance(account)
    assert after.reserved == made.rate
    assert after.total == before.total - before.accrued
    rental = await stage.until_status(made.rental_id, "running", "failed")
    stage.clock.at = rental.run_since
    assert await cost(stage, account, made.rental_id) == slept
    stage.clock.at = rental.run_since + timedelta(seconds=60)
    assert await cost(stage, account, made.rental_id) == slept + made.rate * 60 // 3600

    assert (rental.disk_lost, rental.hibernated_at) == (False, None)
    assert [attempt.status for attempt in await stage.attempts(made.rental_id)] == ["live"]
    assert len(stage.alive()) == 1
    await stage.stop(account, made.rental_id)
    await stage.until_rest()
    assert stage.alive() == []
    assert (await stage.balance(account)).available == 50_000_000 - slept - made.rate * 60 // 3600
    await sound(stage)


async def test_a_rental_that_is_stopped_while_it_sleeps_pays_for_its_disk_until_then(stage, rich) -> None:
    account = await rich()
    made, rental = await hibernated(stage, account)
    stage.clock.at = rental.hibernated_at + timedelta(hours=1)
    await stage.stop(account, made.rental_id)
    await stage.until_rest()
    assert stage.alive() == []
    spent = made.rate * 100 // 3600 + rental.stopped_rate
    assert (await stage.balance(account)).available == 50_000_000 - spent
    await sound(stage)


async def test_a_rental_sleeps_until_the_wallet_is_empty(stage, rich) -> None:
    account = await rich(1_000_000)
    made, rental = await hibernated(stage, account)
    left = (await stage.balance(account)).total
    seconds = left * 3600 // rental.stopped_rate
    async with stage.databases.worker.begin_unscoped() as session:
        at = stage.clock.at = rental.hibernated_at + timedelta(seconds=seconds - 120)
        await wallet.settle(session, [wallet.Due(account, made.rental_id, rental.bucket)], at=at)
    stage.clock.advance(100)
    assert (await stage.run(ending)) == {"wallet_empty": 1}
    await stage.until_rest()
    rental = await stage.rental(made.rental_id)
    assert (rental.status, rental.end_reason) == ("stopped", "wallet_empty")
    assert stage.alive() == []
    await sound(stage)


async def test_a_wallet_without_an_hour_lets_it_sleep_on(stage, rich) -> None:
    account = await rich(500_000)
    made, rental = await hibernated(stage, account)
    async with stage.databases.worker.begin_unscoped() as session:
        await wallet.claw_back(
            session, account_id=account, amount=200_000, reference="x", reason="x", actor="op", at=stage.clock.now()
        )
    with pytest.raises(wallet.InsufficientBalance):
        await act(stage, resume, account, made.rental_id)
    assert (await stage.rental(made.rental_id)).status == "hibernated"
    assert (await stage.balance(account)).burn_per_hour == rental.stopped_rate
    await sound(stage)


async def test_doing_it_twice_changes_nothing_and_doing_it_out_of_turn_is_refused(stage, rich) -> None:
    account = await rich()
    made, _ = await running(stage, account)
    with pytest.raises(InvalidState):
        await act(stage, resume, account, made.rental_id)
    first = await act(stage, hibernate, account, made.rental_id)
    assert (await act(stage, hibernate, account, made.rental_id)).version == first.version
    with pytest.raises(InvalidState):
        await act(stage, resume, account, made.rental_id)
    await stage.until_status(made.rental_id, "hibernated")
    first = await act(stage, resume, account, made.rental_id)
    assert (await act(stage, resume, account, made.rental_id)).version == first.version
    with pytest.raises(InvalidState):
        await act(stage, hibernate, account, made.rental_id)
    assert (await stage.until_status(made.rental_id, "running", "failed")).status == "running"
    await sound(stage)


async def test_what_its_cloud_cannot_turn_off_is_refused_and_runs_on(stage, rich) -> None:
    account = await rich()
    made, rental = await running(stage, account, family="a10", wanted={"providers": ("lambda",)})
    assert rental.stopped_rate is None
    with pytest.raises(CannotHibernate):
        await act(stage, hibernate, account, made.rental_id)
    assert (await stage.rental(made.rental_id)).status == "running"


async def test_an_answer_that_is_lost_turns_the_machine_off_once(stage, rich) -> None:
    account = await rich()
    made, _ = await running(stage, account)
    stage.sandbox.faults.add(Fault("timeout_after_success", operation="stop", mode="drop"))
    await act(stage, hibernate, account, made.rental_id)
    await stage.until_status(made.rental_id, "hibernated")
    await sound(stage)


async def test_a_machine_that_will_not_turn_off_is_the_customers_again_and_the_wait_was_free(stage, rich) -> None:
    account = await rich()
    made, _ = await running(stage, account)
    stage.clock.advance(100)
    stage.sandbox.faults.add(Fault("server_error", operation="stop", times=1000))
    await act(stage, hibernate, account, made.rental_id)
    assert (await stage.run(hibernation)) == {"asked_in_vain": 1}
    stage.clock.advance(HIBERNATE_SECONDS)
    assert (await stage.run(hibernation)) == {"goes_on": 1}
    rental = await stage.rental(made.rental_id)
    assert (rental.status, rental.status_reason, rental.next_at) == ("running", "hibernation_failed", None)
    assert await cost(stage, account, made.rental_id) == made.rate * 100 // 3600
    await sound(stage)


@pytest.mark.parametrize("how", ["vanished", "does not wake"])
async def test_where_the_machine_is_no_more_another_is_rented_and_the_loss_is_told(how, stage, rich) -> None:
    account = await rich()
    made, rental = await hibernated(stage, account)
    if how == "vanished":
        stage.sandbox.accidents.vanish(stage.alive()[0].id)
    else:
        stage.sandbox.faults.add(Fault("server_error", operation="start", times=None))
    await act(stage, resume, account, made.rental_id)
    await stage.run(placing)
    stage.clock.advance(60)
    rental = await stage.until_status(made.rental_id, "running", "failed")
    assert rental.status == "running", rental.failure
    assert rental.disk_lost
    assert [attempt.status for attempt in await stage.attempts(made.rental_id)][-1] == "live"
    assert any("disk_lost" in data for _, data in await events(stage, made.rental_id))
    await stage.until_rest()
    assert len(stage.alive()) == 1
    await sound(stage)


async def test_a_machine_that_is_lost_while_it_is_off_is_billed_until_it_was_last_seen(stage, rich) -> None:
    account = await rich()
    made, rental = await hibernated(stage, account)
    stage.clock.at = rental.hibernated_at + timedelta(seconds=600)
    assert (await stage.run(dormancy))["well"] == 1
    seen_until = stage.clock.at
    stage.sandbox.accidents.vanish(stage.alive()[0].id)
    stage.clock.advance(60)
    assert (await stage.run(dormancy))["doubted"] == 1
    stage.clock.advance(300)
    async with stage.databases.worker.begin_unscoped() as session:  # what was captured beyond it comes back
        due = [wallet.Due(account, made.rental_id, rental.bucket)]
        await wallet.settle(session, due, at=stage.clock.now())
    assert (await stage.run(dormancy))["lost"] == 1
    rental = await stage.rental(made.rental_id)
    assert (rental.status, rental.ended_at, rental.disk_lost) == ("failed", seen_until, True)
    spent = made.rate * 100 // 3600 + rental.stopped_rate * 600 // 3600
    assert (await stage.balance(account)).available == 50_000_000 - spent
    await stage.until_rest()
    await sound(stage)


async def test_a_machine_that_its_cloud_started_again_is_turned_off_again(stage, rich) -> None:
    account = await rich()
    await hibernated(stage, account)
    [machine] = stage.alive()
    await stage.tools.providers["vast"].resume(machine.id)
    await stage.run(dormancy)
    await asyncio.sleep(0.2)
    await stage.run(dormancy)
    await asyncio.sleep(0.2)
    assert (await stage.tools.providers["vast"].get_machine(machine.id)).status is MachineStatus.STOPPED


@pytest.mark.usefixtures("real_machines")
async def test_the_startup_script_runs_again_and_is_told_so(stage, rich) -> None:
    account = await rich()
    launch = {"startup_script": "echo begins${HOURGLASS_RESUMED:+ again}"}
    made, _ = await running(stage, account, launch=launch)
    await stage.run(visits)
    await stage.run(visits)
    await act(stage, hibernate, account, made.rental_id)
    await stage.until_status(made.rental_id, "hibernated")
    await act(stage, resume, account, made.rental_id)
    rental = await stage.until_status(made.rental_id, "running", "failed")
    for _ in range(50):
        await stage.run(visits)
        if (await stage.rental(made.rental_id)).log_exit is not None:
            break
        await asyncio.sleep(0.05)
    async with stage.databases.api.begin(account) as session:
        pieces = await queries.list_logs(session, account_id=account, rental_id=made.rental_id, offset=0, limit=10)
    assert "".join(piece.text for piece in pieces) == "begins\nbegins again\n"
    assert rental.status == "running"


async def test_the_sweep_leaves_what_hibernates_alone(stage, rich) -> None:
    await hibernated(stage, await rich())
    stage.clock.advance(60)
    await stage.run(sweeps)
    stage.clock.advance(60)
    assert (await stage.run(sweeps))["destroyed"] == 0
    assert len(stage.alive()) == 1


@pytest.fixture
async def hyperstack(stage) -> AsyncIterator[str]:
    """Open a cloud that hibernates by its own word, and return a family of it that can."""
    config = stage.sandbox.config
    cloud = HyperstackProvider(
        api_key=config.hyperstack_key,
        base_url=f"{stage.sandbox.url}/v1",
        options=stage.options,
        ssh_port=config.ssh_port,
    )
    stage.tools.providers["hyperstack"] = cloud
    await stage.take_leases()
    await stage.refresh()
    async with stage.databases.worker.begin_unscoped() as session:
        wanted = catalog.Wanted(providers=("hyperstack",), min_vram_gb=1, gpu_count=1)
        matches = await catalog.cheapest(session, wanted, at=stage.clock.now(), limit=50)
    yield next(match.listing.family for match in matches if match.listing.stopped_micros_per_hour)
    await cloud.aclose()


@pytest.mark.parametrize("stock", ["left", "gone"])
async def test_a_cloud_that_hibernates_wakes_the_machine_or_says_that_its_gpu_is_taken(
    stock, stage, rich, hyperstack
) -> None:
    account = await rich()
    made, rental = await hibernated(stage, account, family=hyperstack, wanted={"providers": ("hyperstack",)})
    [asleep] = await stage.attempts(made.rental_id)
    assert rental.stopped_rate == asleep.listing["stopped_micros_per_hour"]
    if stock == "gone":
        stage.sandbox.faults.add(Fault("offer_gone", provider="hyperstack", operation="start"))
    stage.clock.at = rental.hibernated_at + timedelta(seconds=1800)
    slept = await cost(stage, account, made.rental_id)
    await act(stage, resume, account, made.rental_id)
    rental = await stage.until_status(made.rental_id, "running", "failed")
    assert rental.status == "running", rental.failure
    stage.clock.at = rental.run_since
    assert await cost(stage, account, made.rental_id) == slept
    attempts = await stage.attempts(made.rental_id)
    assert (rental.disk_lost, len(attempts)) == ((stock == "gone"), 1 if stock == "left" else 2)
    await stage.until_rest()
    assert len(stage.alive()) == 1
    await sound(stage)
