"""A machine that died unseen before its rental was stopped, or hibernates, is not paid for since it last answered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.rentals import invariants
from app.rentals.keeping.hibernating import hibernate
from app.rentals.placing.resuming import resume
from app.rentals.reconcilers import destroying_machines, dormancy
from app.sandbox import Fault


async def _running(stage: Any, rich: Any) -> tuple[Any, Any, str]:
    account = await rich()
    made = await stage.request(account)
    await stage.until_status(made.rental_id, "running")
    [attempt] = await stage.attempts(made.rental_id)
    return account, made, attempt.machine_id


async def _price(stage: Any, made: Any) -> int:
    """What the time from the check to the stop costs: some two minutes."""
    rental = await stage.rental(made.rental_id)
    seconds = (rental.ended_at - rental.running_at).seconds
    assert seconds >= 120
    return int(made.rate * seconds // 3600)


@pytest.mark.parametrize("death", ["silence", "vanish", "kill_gpu"])
async def test_what_was_charged_since_the_last_answer_comes_back(death: str, stage: Any, rich: Any) -> None:
    account, made, machine_id = await _running(stage, rich)
    stage.clock.advance(40)
    getattr(stage.sandbox.accidents, death)(machine_id)
    stage.clock.advance(80)

    await stage.stop(account, made.rental_id)
    charged = 50_000_000 - (await stage.balance(account)).available
    await stage.until_rest()

    assert charged == await _price(stage, made)
    balance = await stage.balance(account)
    assert (balance.available, balance.reserved) == (50_000_000, 0)
    assert (await stage.rental(made.rental_id)).status == "stopped"


async def test_a_machine_that_answers_is_paid_for_to_the_stop(stage: Any, rich: Any) -> None:
    account, made, _ = await _running(stage, rich)
    stage.clock.advance(120)

    await stage.stop(account, made.rental_id)
    await stage.until_rest()

    assert (await stage.balance(account)).available == 50_000_000 - await _price(stage, made)


async def test_once_seen_well_its_end_gives_nothing_back(stage: Any, rich: Any) -> None:
    account, made, machine_id = await _running(stage, rich)
    stage.clock.advance(120)
    await stage.stop(account, made.rental_id)
    stage.sandbox.faults.add(Fault("server_error", operation="destroy", times=2))
    await stage.run(destroying_machines)
    stage.sandbox.accidents.silence(machine_id)

    await stage.until_rest()

    assert (await stage.balance(account)).available == 50_000_000 - await _price(stage, made)


@pytest.mark.parametrize("death", ["silence", "vanish", "kill_gpu"])
async def test_what_hibernates_is_paid_for_until_its_machine_last_answered(death: str, stage: Any, rich: Any) -> None:
    account, made, machine_id = await _running(stage, rich)
    stage.clock.advance(40)
    getattr(stage.sandbox.accidents, death)(machine_id)
    stage.clock.advance(80)

    async with stage.databases.api.begin(account) as session:
        await hibernate(session, account_id=account, rental_id=made.rental_id, actor="test", at=stage.clock.now())
    assert (await stage.balance(account)).total < 50_000_000
    await stage.until_status(made.rental_id, "hibernated", "failed")
    assert (await stage.balance(account)).total == 50_000_000
    await _end(stage, account, made)
    rental = await stage.rental(made.rental_id)
    assert rental.ran_seconds == 0
    slept = 0 if rental.hibernated_at is None else (rental.ended_at - rental.hibernated_at).seconds
    # Its first seconds off count for those that were charged in vain.
    paid = 50_000_000 - (await stage.balance(account)).available
    assert 0 <= paid <= rental.stopped_rate * slept // 3600


@pytest.mark.parametrize("end", ["stop", "resume"])
async def test_a_disk_that_is_lost_unseen_is_paid_for_until_it_was_last_seen(end: str, stage: Any, rich: Any) -> None:
    account, made, machine_id = await _running(stage, rich)
    async with stage.databases.api.begin(account) as session:
        await hibernate(session, account_id=account, rental_id=made.rental_id, actor="test", at=stage.clock.now())
    rental = await stage.until_status(made.rental_id, "hibernated")
    stage.clock.at = rental.hibernated_at + timedelta(seconds=600)
    await stage.run(dormancy)
    before = (await stage.balance(account)).total
    stage.sandbox.accidents.vanish(machine_id)
    stage.clock.advance(3600)
    await stage.refresh()
    if end == "resume":
        async with stage.databases.api.begin(account) as session:
            await resume(session, account_id=account, rental_id=made.rental_id, actor="test", at=stage.clock.now())
        await stage.until_status(made.rental_id, "running")
        stage.clock.at = (await stage.rental(made.rental_id)).run_since
    await _end(stage, account, made)
    slept = rental.stopped_rate * 600 // 3600
    assert before - slept - 2 <= (await stage.balance(account)).available <= before - slept


async def test_what_hibernates_well_is_paid_for_until_it_was_accepted(stage: Any, rich: Any) -> None:
    account, made, _ = await _running(stage, rich)
    stage.clock.advance(120)
    async with stage.databases.api.begin(account) as session:
        asleep = await hibernate(
            session, account_id=account, rental_id=made.rental_id, actor="test", at=stage.clock.now()
        )
    await stage.until_status(made.rental_id, "hibernated")
    assert (await stage.balance(account)).total == 50_000_000 - made.rate * asleep.ran_seconds // 3600
    async with stage.databases.api.begin(account) as session:
        await resume(session, account_id=account, rental_id=made.rental_id, actor="test", at=stage.clock.now())
    await stage.until_status(made.rental_id, "running")
    await _end(stage, account, made)


async def _end(stage: Any, account: Any, made: Any) -> None:
    await stage.stop(account, made.rental_id)
    await stage.until_rest()
    assert stage.alive() == []
    async with stage.databases.worker.begin_unscoped() as session:
        assert await invariants.broken(session) == {}
