"""What is left of each rental: what was charged, less what was given back, less what its machines cost."""

from __future__ import annotations

from datetime import timedelta

from app.costs import list_margins, sum_costs, sum_orphans
from app.costs.reconcilers import COST, MARGIN, OPEN, ORPHANS, measuring
from app.rentals.reconcilers import sweeps, watching
from app.sandbox.faults import Fault
from tests.costs.rows import orphan, rows


async def margins(stage, by="rental"):
    at = stage.clock.now()
    async with stage.databases.worker.begin_unscoped() as session:
        return await list_margins(session, since=at - timedelta(days=1), until=at, by=by)


async def test_margin_is_what_was_charged_less_what_all_its_machines_cost(stage, rich, ran, known):
    account = await rich()
    stage.sandbox.faults.add(Fault("wrong_gpu"))
    rental_id = await ran(account, seconds=3600)
    other_id = await ran(account, family="a10", wanted={"providers": ("lambda",)})
    await known()
    found = {one.key: one for one in await margins(stage)}
    charged = await rows(stage, "SELECT rental_id, sum(amount) FROM transfers WHERE kind = 'usage' GROUP BY rental_id")
    assert {row["rental_id"]: int(row["sum"]) for row in charged} == {key: one.charged for key, one in found.items()}
    vast = [truth for truth in stage.sandbox.truth if truth.provider == "vast"]
    assert (found[rental_id].machines, found[rental_id].cost) == (2, sum(truth.cost_micros for truth in vast))
    assert (found[rental_id].exact, found[other_id].exact) == (True, False)
    for one in found.values():
        assert one.micros == one.charged - one.refunded - one.cost
        assert one.open == 0
    by_cloud = {one.key: one for one in await margins(stage, by="provider")}
    assert by_cloud["vast"].micros == found[rental_id].micros
    assert [one.micros for one in await margins(stage, by="account")] == [sum(one.micros for one in found.values())]
    assert {one.key for one in await margins(stage, by="family")} == {"rtx-4090", "a10"}


async def test_refund_for_a_lost_host_is_ours_to_bear(stage, rich, known):
    account = await rich()
    made = await stage.request(account)
    await stage.until_status(made.rental_id, "running")
    (truth,) = stage.sandbox.truth
    stage.sandbox.accidents.vanish(truth.id)
    for _ in range(8):
        stage.clock.advance(30)
        await stage.run(watching)
    await stage.until_rest()
    await known()
    (found,) = await margins(stage)
    assert found.charged == found.refunded
    assert (found.cost > 0, found.micros) == (True, -found.cost)


async def test_costs_and_orphans_of_a_day_are_summed_and_shown(stage, rich, ran, known):
    await ran(await rich(), seconds=3600)
    machine_id = await orphan(stage)
    stage.clock.advance(600)
    for _ in range(4):
        await stage.run(sweeps)
        stage.clock.advance(30)
    await known()
    at = stage.clock.now()
    async with stage.databases.worker.begin_unscoped() as session:
        (spent,) = await sum_costs(session, since=at - timedelta(days=1), until=at)
        orphans = await sum_orphans(session, since=at - timedelta(days=1), until=at)
    truths = {truth.id: truth.cost_micros for truth in stage.sandbox.truth}
    assert (spent.provider, spent.machines, spent.open) == ("vast", 2, 0)
    assert (spent.exact_micros, spent.estimated_micros) == (sum(truths.values()), 0)
    assert (orphans.machines, orphans.cost) == (1, truths[machine_id])
    assert spent.orphans_micros == orphans.cost
    assert await stage.run(measuring) == {"sound": 1}
    assert COST.labels("vast", "exact")._value.get() == spent.exact_micros
    assert ORPHANS._value.get() == orphans.cost
    assert MARGIN.labels("vast")._value.get() == (await margins(stage))[0].micros
    assert OPEN.labels("vast")._value.get() == 0
