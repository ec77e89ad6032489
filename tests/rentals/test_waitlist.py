"""The waitlist: in turn, at a rate that is locked when something turns up, and for no longer than was asked."""

from __future__ import annotations

from collections import Counter
from typing import Any

import asyncpg
import pytest

from app.kit.leases import Holding
from app.kit.reconcile import Round
from app.rentals import invariants
from app.rentals.errors import NoMatchingListings
from app.rentals.keeping import waiting
from app.rentals.reconcilers import placing, waitlist
from app.sandbox import Fault

CEILING = 600_000
WISH = {"wanted": {"max_price_micros_per_hour": CEILING, "providers": ("vast",)}, "wait_seconds": 3600}


async def hide_market(stage: Any) -> None:
    await _market(stage, "UPDATE listings SET gone_at = now()")


async def show(stage: Any, count: int) -> None:
    """Let so many of the cheapest RTX 4090s be on offer again."""
    await _market(
        stage,
        "UPDATE listings SET gone_at = NULL WHERE id IN (SELECT id FROM listings WHERE family = 'rtx-4090' "
        f"AND provider = 'vast' AND NOT spot AND gpu_count = 1 ORDER BY price_micros_per_hour LIMIT {count})",
    )


async def _market(stage: Any, statement: str, *values: Any) -> None:
    connection = await asyncpg.connect(stage.databases.urls.admin)
    await connection.execute(statement, *values)
    await connection.close()


async def sound(stage: Any) -> None:
    async with stage.databases.worker.begin_unscoped() as session:
        assert await invariants.broken(session) == {}


async def statuses(stage: Any, made: list[Any]) -> list[str]:
    return [(await stage.rental(one.rental_id)).status for one in made]


async def test_what_nothing_fits_waits_at_its_highest_price_and_runs_at_what_it_finds(stage, rich) -> None:
    account = await rich()
    await hide_market(stage)
    with pytest.raises(NoMatchingListings):
        await stage.request(account, wanted=WISH["wanted"])

    made = await stage.request(account, **WISH)
    assert made.queued_until is not None
    assert (await stage.balance(account)).reserved == CEILING
    assert (await stage.run(waitlist)) == {}
    await sound(stage)

    stage.clock.advance(20)
    await show(stage, 1)
    assert (await stage.run(waitlist)) == {"placed": 1}
    rental = await stage.rental(made.rental_id)
    assert rental.rate < CEILING
    assert (await stage.balance(account)).reserved == rental.rate
    await sound(stage)
    rental = await stage.until_status(made.rental_id, "running", "failed")
    assert rental.status == "running", rental.failure
    await sound(stage)


async def test_those_who_came_first_are_served_first_whoever_works(stage, rich) -> None:
    await hide_market(stage)
    made = []
    for _ in range(4):
        made.append(await stage.request(await rich(), **WISH))
        stage.clock.advance(1)
    unhappy = await stage.request(
        await rich(), wanted=WISH["wanted"] | {"max_price_micros_per_hour": 1}, wait_seconds=60
    )
    await show(stage, 2)
    whole = stage.holding
    for half in (1, 0):  # the one who has the younger rentals may look first
        fences = {name: fence for n, (name, fence) in enumerate(sorted(whole.fences.items())) if n % 2 == half}
        stage.holding = Holding(whole.owner, fences)
        await stage.run(waitlist)
    stage.holding = whole
    assert await statuses(stage, made) == ["provisioning", "provisioning", "queued", "queued"]
    chosen = {(await stage.rental(one.rental_id)).listing["listing_id"] for one in made[:2]}
    assert len(chosen) == 2
    assert (await stage.rental(unhappy.rental_id)).status == "queued"
    await sound(stage)


async def test_a_wait_that_is_over_fails_and_gives_the_hold_back(stage, rich) -> None:
    account = await rich()
    await hide_market(stage)
    made = await stage.request(account, **WISH)
    stage.clock.advance(3600)
    assert (await stage.run(waitlist)) == {"expired": 1}
    rental = await stage.rental(made.rental_id)
    assert (rental.status, rental.failure["reason"]) == ("failed", "no_capacity")
    assert (await stage.balance(account)).available == 50_000_000
    await sound(stage)


async def test_who_waits_may_stop(stage, rich) -> None:
    account = await rich()
    await hide_market(stage)
    made = await stage.request(account, **WISH)
    assert (await stage.stop(account, made.rental_id)).status == "stopped"
    assert (await stage.run(waitlist)) == {}
    assert (await stage.balance(account)).available == 50_000_000
    await sound(stage)


async def test_what_turns_up_and_is_gone_again_sends_it_back_to_its_place(stage, rich) -> None:
    account = await rich()
    await hide_market(stage)
    made = await stage.request(account, **WISH)
    await show(stage, 1)
    await stage.run(waitlist)
    stage.sandbox.faults.add(Fault("offer_gone", operation="create"))
    for _ in range(3):
        await stage.run(placing)
        stage.clock.advance(1)
    rental = await stage.rental(made.rental_id)
    assert (rental.status, rental.rate, rental.stage) == ("queued", CEILING, None)
    assert (await stage.balance(account)).reserved == CEILING
    await sound(stage)

    await show(stage, 3)
    stage.clock.advance(15)
    assert (await stage.run(waitlist)) == {"placed": 1}
    rental = await stage.until_status(made.rental_id, "running", "failed")
    assert rental.status == "running", rental.failure
    await sound(stage)


async def test_a_fallback_family_is_taken_only_when_the_first_has_nothing(stage, rich) -> None:
    account = await rich()
    await hide_market(stage)
    made = await stage.request(account, **WISH)
    both = "UPDATE rentals SET wanted = jsonb_set(wanted, '{families}', $2::jsonb) WHERE id = $1"
    await _market(stage, both, made.rental_id, '["rtx-4090", "rtx-3090"]')
    await _market(stage, "UPDATE listings SET gone_at = NULL WHERE family IN ('rtx-4090', 'rtx-3090')")
    assert (await stage.run(waitlist)) == {"placed": 1}
    assert (await stage.rental(made.rental_id)).listing["family"] == "rtx-4090"


async def test_a_turn_that_was_taken_meanwhile_changes_nothing(stage, rich) -> None:
    account = await rich()
    await hide_market(stage)
    made = await stage.request(account, **WISH)
    await show(stage, 1)
    this = Round(stage.clock.now(), stage.holding)
    [turn] = await waiting.find(stage.tools, waiting.Hopeless(), this, 10)
    outcomes = Counter([await waiting.step(stage.tools, this, turn) for _ in range(2)])
    assert outcomes == {"placed": 1, "moved_on": 1}
    assert (await stage.rental(made.rental_id)).version == 2


async def test_many_wishes_are_not_searched_for_at_every_round_and_yet_nobody_is_passed_over(stage, rich) -> None:
    account = await rich()
    await hide_market(stage)
    made = []
    for n in range(waiting.MANY_WISHES + 2):
        wish = WISH["wanted"] | {"max_price_micros_per_hour": CEILING + n}
        made.append(await stage.request(account, wanted=wish, wait_seconds=3600))
        stage.clock.advance(1)
    memory = waiting.Hopeless()
    await waiting.find(stage.tools, memory, Round(stage.clock.now(), stage.holding), 100)
    assert len(memory.until) == len(made)
    young = await stage.request(account, wanted=WISH["wanted"] | {"disk_gb": 21}, wait_seconds=3600)
    await show(stage, 2)
    turns = await waiting.find(stage.tools, memory, Round(stage.clock.now(), stage.holding), 100)
    assert [turn.rental_id for turn in turns] == [one.rental_id for one in made[:2]]
    assert young.rental_id not in {turn.rental_id for turn in turns}
