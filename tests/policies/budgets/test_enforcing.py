"""Hard budgets: whatever runs ends at the very second, whoever sleeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app import policies, wallet
from app.kit.db import driver
from app.kit.ids import ApiKeyId, UserId
from app.kit.money import cost
from app.policies import OnExceeded
from app.tenancy import KeyTerms, create_key
from app.web.principal import SpendLimit

RATE = 3_600_000
"""A dollar and a thousandth of one a second: 1,000 micro-dollars."""
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
HARD = {"on_budget_exceeded": OnExceeded.STOP_ALL}


async def test_what_runs_on_a_hard_budget_is_capped_at_the_second_at_which_it_is_used_up(ground, at):
    team = await ground.team(at=at)
    await ground.set(team, at=at, daily_budget_micros=5 * RATE, **HARD)
    rental = await ground.run(team, at=at)
    meter = await ground.meter(rental)
    assert (meter.stop_by, meter.ends_at, meter.ends_because) == (at + 5 * HOUR, at + 5 * HOUR, "budget_exceeded")


async def test_a_worker_that_sleeps_for_a_day_bills_no_budget_beyond(ground, at):
    team = await ground.team(at=at)
    await ground.set(team, at=at, daily_budget_micros=5 * RATE, **HARD)
    rentals = [await ground.run(team, at=at + n * SECOND, rate=RATE + n) for n in range(3)]
    late = at + timedelta(days=1)
    await ground.settle(*rentals, at=late)
    charged = [(await ground.stop(rental, at=late)).charged for rental in rentals]
    assert 5 * RATE - sum(cost(RATE + 3, 1) for _ in rentals) <= sum(charged) <= 5 * RATE
    [exceeded] = await ground.events(team)
    assert (exceeded.type, exceeded.data["since"]) == ("budget.exceeded", "2026-03-01T00:00:00.000Z")
    await ground.look(at=late)
    assert len(await ground.events(team)) == 1
    assert (await ground.policy(team)).paused_until is None


async def test_two_that_run_share_a_budget_and_one_that_stops_leaves_the_other_more(ground, at):
    team = await ground.team(at=at)
    await ground.set(team, at=at, daily_budget_micros=4 * RATE, **HARD)
    first = await ground.run(team, at=at)
    assert (await ground.meter(first)).stop_by == at + 4 * HOUR
    second = await ground.run(team, at=at + HOUR)
    assert (await ground.meter(first)).stop_by == at + 2.5 * HOUR
    assert (await ground.meter(second)).stop_by == at + 2.5 * HOUR
    await ground.stop(second, at=at + 2 * HOUR)
    assert (await ground.meter(first)).stop_by == at + 3 * HOUR


async def test_the_first_of_all_budgets_caps(ground, at):
    team, user = await ground.team(at=at), UserId.new()
    await ground.set(ground.account, at=at, monthly_budget_micros=7 * RATE, **HARD)
    await ground.set(team, at=at, daily_budget_micros=6 * RATE, **HARD)
    await ground.set(user, at=at, daily_budget_micros=3 * RATE, **HARD)
    both = await ground.run(team, at=at, user=user)
    other = await ground.run(team, at=at)
    assert (await ground.meter(both)).stop_by == at + 3 * HOUR
    assert (await ground.meter(other)).stop_by == at + 3 * HOUR
    await ground.stop(both, at=at + HOUR)
    assert (await ground.meter(other)).stop_by == at + 5 * HOUR


async def test_a_budget_that_only_pauses_caps_nothing(ground, at):
    team = await ground.team(at=at)
    await ground.set(team, at=at, daily_budget_micros=RATE)
    assert (await ground.meter(await ground.run(team, at=at))).stop_by is None
    assert (await ground.meter(await ground.run(at=at))).stop_by is None


async def test_a_budget_that_is_raised_or_made_soft_lets_what_runs_go_on(ground, at):
    team = await ground.team(at=at)
    await ground.set(team, at=at, daily_budget_micros=2 * RATE, **HARD)
    rental = await ground.run(team, at=at)
    await ground.set(team, at=at + HOUR, daily_budget_micros=3 * RATE, **HARD)
    assert (await ground.meter(rental)).stop_by == at + 3 * HOUR
    await ground.set(team, at=at + HOUR, daily_budget_micros=1, **HARD)
    assert (await ground.meter(rental)).stop_by == at + HOUR
    other = await ground.run(team, at=at + HOUR)
    await ground.set(team, at=at + HOUR + SECOND, daily_budget_micros=3 * RATE)
    assert (await ground.meter(rental)).stop_by == at + HOUR, "what was used up stays so"
    assert (await ground.meter(other)).stop_by == at + HOUR


async def test_a_day_is_the_teams_own_and_its_budget_comes_back_at_its_midnight(ground, worker_db, at):
    evening = datetime(2026, 3, 28, 17, 0, tzinfo=UTC)  # 22:30 in Kolkata
    team = await ground.team(at=at, zone="Asia/Kolkata")
    await ground.set(team, at=at, daily_budget_micros=2 * RATE, **HARD)
    rental = await ground.run(team, at=evening)
    # An hour and a half until midnight fit; two hours of the next day do. A second counts to the day in which it ends.
    midnight = datetime(2026, 3, 28, 18, 30, tzinfo=UTC)
    assert (await ground.meter(rental)).stop_by == midnight + 2 * HOUR - SECOND
    for n in range(1, 25):
        await ground.settle(rental, at=evening + n * timedelta(minutes=9, seconds=7, milliseconds=531))
    await ground.look(at=midnight + 2 * HOUR)
    settled = await ground.stop(rental, at=midnight + 3 * HOUR)
    assert settled.billed_seconds == 3.5 * 3600 - 1


async def test_a_keys_own_limit_ends_what_runs_on_it(ground, worker_db, at):
    async with worker_db.begin_unscoped() as session:
        terms = KeyTerms("key", frozenset({"rentals:write"}), created_by=None, limit=SpendLimit(2 * RATE, "daily"))
        key = await create_key(session, terms, account_id=ground.account, pepper=b"pepper", at=at)
    rental = await ground.run(at=at, key=key.row.id)
    assert (await ground.meter(rental)).stop_by == at + 2 * HOUR
    assert (await ground.meter(await ground.run(at=at, key=ApiKeyId.new()))).stop_by is None


async def test_an_interruption_keeps_the_budget_and_a_new_run_is_capped_by_what_is_left(ground, worker_db, at):
    team = await ground.team(at=at)
    await ground.set(team, at=at, daily_budget_micros=3 * RATE, **HARD)
    rental = await ground.run(team, at=at)
    async with worker_db.begin_unscoped() as session:
        await wallet.pause(session, account_id=ground.account, rental_id=rental, at=at + HOUR)
    async with worker_db.begin_unscoped() as session:
        await wallet.start(session, account_id=ground.account, rental_id=rental, at=at + 4 * HOUR)
        await policies.recap(session, account_id=ground.account, at=at + 4 * HOUR)
    assert (await ground.meter(rental)).stop_by == at + 6 * HOUR


async def test_nothing_is_locked_or_written_where_there_is_no_budget(ground, worker_db, at):
    await ground.run(at=at)
    assert await ground.next_look() is None
    async with worker_db.begin_unscoped() as session:
        marks = await driver(session).fetchval(
            "SELECT count(*) FROM budget_marks WHERE account_id = $1", ground.account
        )
    assert marks == 0
