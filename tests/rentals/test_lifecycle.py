"""A rental's whole life against the sandbox clouds, with real SSH."""

from __future__ import annotations

import pytest

from app.rentals.reconcilers import sweeps, watching


@pytest.mark.usefixtures("real_machines")
async def test_a_rental_is_placed_checked_billed_by_the_second_and_stopped(stage, rich) -> None:
    account = await rich()
    made = await stage.request(account)
    assert (await stage.balance(account)).reserved == made.rate

    rental = await stage.until_status(made.rental_id, "running", "failed")

    assert rental.status == "running", rental.failure
    assert [a.status for a in await stage.attempts(made.rental_id)] == ["live"]
    assert len(stage.alive()) == 1
    begun = await stage.balance(account)
    stage.clock.at = rental.running_at
    stage.clock.advance(100)
    assert (await stage.balance(account)).accrued == made.rate * 100 // 3600

    stopped = await stage.stop(account, made.rental_id)
    assert stopped.status == "stopping"
    after = await stage.balance(account)
    assert after.reserved == 0
    assert after.available == begun.available + made.rate - made.rate * 100 // 3600
    await stage.until_rest()
    assert (await stage.rental(made.rental_id)).status == "stopped"
    assert stage.alive() == []
    assert (await stage.run(watching))["nothing_runs"] == 2
    assert (await stage.run(sweeps))["clean"] == 2
