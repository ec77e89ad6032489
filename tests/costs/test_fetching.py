"""What a machine really cost: asked for after its end, from the cloud's books once they say it."""

from __future__ import annotations

from datetime import timedelta

from app.costs import invariants
from app.costs.noting import PATIENCE
from app.costs.reconcilers import fetching_costs, noting
from app.rentals.reconcilers import sweeps
from app.sandbox.faults import Fault
from tests.costs.rows import change, costs_of, orphan, rows


async def test_cost_is_asked_for_until_the_cloud_answers_and_its_books_have_come_so_far(stage, rich, ran):
    rental_id = await ran(await rich())
    assert await stage.run(noting) == {"noted": 1}
    assert await stage.run(fetching_costs) == {"not_booked_yet": 1}
    (cost,) = await costs_of(stage)
    assert (cost["state"], cost["exact"], cost["rental_id"], cost["attempt"]) == ("open", False, rental_id, 1)
    assert cost["micros"] > 0

    assert await stage.run(fetching_costs) == {}, "it is not due yet"
    stage.clock.advance(600)
    stage.sandbox.faults.add(Fault("server_error", "charges", times=None))
    assert await stage.run(fetching_costs) == {"Unavailable": 1}
    (cost,) = await costs_of(stage)
    assert (cost["state"], cost["tries"], cost["last_error"].partition(":")[0]) == ("open", 2, "Unavailable")
    stage.sandbox.faults.clear()
    stage.clock.advance(1200)
    assert await stage.run(fetching_costs) == {"exact": 1}
    (cost,) = await costs_of(stage)
    (truth,) = stage.sandbox.truth
    assert (cost["state"], cost["exact"]) == ("final", True)
    assert abs(cost["micros"] - truth.cost_micros) <= 1
    assert cost["machine_id"] == truth.id


async def test_cloud_without_books_is_estimated_from_what_ran(stage, rich, ran):
    await ran(await rich(), family="a10", wanted={"providers": ("lambda",)})
    await stage.run(noting)
    assert await stage.run(fetching_costs) == {"estimated": 1}
    (cost,) = await costs_of(stage)
    minutes = -(-int((cost["ended_at"] - cost["ran_from"]).total_seconds()) // 60)
    assert (cost["state"], cost["exact"]) == ("final", False)
    assert cost["micros"] == -(-cost["price"] * minutes // 60)
    assert cost["began_at"] < cost["ran_from"] or cost["began_at"] == cost["ran_from"]


async def test_cost_that_nobody_tells_is_our_own_sum_after_three_days(stage, rich, ran):
    await ran(await rich())
    await stage.run(noting)
    stage.clock.advance(PATIENCE.total_seconds() + 60)
    assert await stage.run(noting) == {"closed": 1}
    (cost,) = await costs_of(stage)
    seconds = int((cost["ended_at"] - cost["ran_from"]).total_seconds())
    assert (cost["state"], cost["exact"]) == ("final", False)
    assert cost["micros"] == -(-cost["price"] * seconds // 3600)


async def test_each_attempts_machine_has_its_cost_and_one_that_turns_up_again_another(stage, rich, ran, known):
    stage.sandbox.faults.add(Fault("wrong_gpu"))
    rental_id = await ran(await rich())
    await known()
    first, second = await costs_of(stage)
    assert [first["rental_id"], first["attempt"], first["state"]] == [rental_id, 1, "final"]
    assert [second["rental_id"], second["attempt"], second["state"]] == [rental_id, 2, "final"]

    await change(stage, "UPDATE attempts SET gone_at = gone_at + interval '2 hours' WHERE number = 2")
    assert await stage.run(noting) == {"noted": 1}
    same, again = await costs_of(stage)
    assert same == first
    assert (again["state"], again["exact"]) == ("open", False)
    assert again["ended_at"] == second["ended_at"] + timedelta(hours=2)


async def test_an_orphans_cost_is_ours(stage, known):
    machine_id = await orphan(stage)
    stage.clock.advance(600)
    for _ in range(4):
        await stage.run(sweeps)
        stage.clock.advance(30)
    assert stage.alive() == []
    await known()
    (cost,) = await costs_of(stage)
    assert (cost["rental_id"], cost["account_id"], cost["machine_id"]) == (None, None, machine_id)
    (truth,) = stage.sandbox.truth
    assert cost["price"] == truth.price_micros_per_hour + truth.disk_micros_per_hour
    assert (cost["exact"], cost["micros"]) == (True, truth.cost_micros)


async def test_what_must_hold_of_costs_holds_and_is_told_when_it_does_not(stage, rich, ran, known):
    await ran(await rich())
    await known()

    async def broken():
        async with stage.databases.worker.begin_unscoped() as session:
            return list(await invariants.broken(session, at=stage.clock.now()))

    stage.clock.advance(3600)
    assert await broken() == []
    await change(
        stage, "UPDATE machine_costs SET state = 'open', next_at = ended_at, ran_from = ended_at + interval '1 s'"
    )
    stage.clock.advance(74 * 3600)
    assert await broken() == [
        "a cost is final three days and an hour after the machine's end",
        "a machine begins before it runs, and runs before it ends",
    ]
    await change(stage, "UPDATE machine_costs SET machine_id = 'another'")
    assert await broken() == [
        "a machine that has been gone for an hour has a cost",
        "a machine's cost is that of the attempt that had it",
        "a cost is final three days and an hour after the machine's end",
        "a machine begins before it runs, and runs before it ends",
    ]
    assert await rows(stage, "SELECT 1 FROM machine_costs") != []
