"""A machine that died unseen before its rental was stopped is not paid for since it last answered."""

from __future__ import annotations

from typing import Any

import pytest

from app.rentals.reconcilers import destroying_machines
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
