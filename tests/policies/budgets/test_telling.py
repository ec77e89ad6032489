"""Looks at budgets: what is told, when what is new pauses, and when it goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app import wallet
from app.kit.leases import BUCKETS, Holding, StaleFenceError, bucket_name, bucket_of
from app.kit.reconcile import Round
from app.policies import TEAM_DEFAULT, OnExceeded
from app.policies.budgets.reconcilers import budgets

RATE = 3_600_000
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


async def test_a_budget_is_told_of_at_each_level_and_pauses_what_is_new_until_midnight(ground, at):
    team = await ground.team(at=at)
    await ground.set(team, at=at, daily_budget_micros=4 * RATE)
    await ground.run(team, at=at)
    for minutes in range(0, 300, 10):
        await ground.look(at=at + minutes * MINUTE)
    told = await ground.told(team)
    assert told == [
        ("burn_rate", 0),
        ("threshold", 50),
        ("threshold", 75),
        ("threshold", 90),
        ("exceeded", 100),
        ("paused", None),
    ]
    policy = await ground.policy(team)
    assert policy.paused_until == MIDNIGHT
    assert policy.paused_because == "its daily budget of $14.40 is used up"
    await ground.look(at=MIDNIGHT)
    assert (await ground.told(team))[-1] == ("resumed", None)
    assert (await ground.policy(team)).paused_until is None


async def test_looks_come_when_something_is_to_be_told(ground, at):
    team = await ground.team(at=at)
    await ground.set(team, at=at, daily_budget_micros=RATE)
    rental = await ground.run(team, at=at)
    moments = []
    while (moment := await ground.next_look()) is not None and moment < at + 2 * HOUR:
        moments.append(moment - at)
        await ground.look(at=moment)
    assert {30 * MINUTE, 45 * MINUTE, 54 * MINUTE, HOUR} <= {moment - moment % MINUTE for moment in moments}, (
        "each level is told within a minute, and no look is later than ten"
    )
    assert len(moments) < 20
    await ground.stop(rental, at=at + 2 * HOUR)
    await ground.look(at=at + 2 * HOUR)
    assert await ground.next_look() == MIDNIGHT


async def test_nobody_looks_while_nothing_runs_and_nothing_is_paused(ground, at):
    team = await ground.team(at=at)
    rental = await ground.run(team, at=at)
    assert await ground.next_look() == at
    await ground.stop(rental, at=at + MINUTE)
    assert await ground.look(at=at + MINUTE) == 0
    assert await ground.next_look() is None


async def test_a_team_without_a_policy_is_paused_by_its_default_budget(ground, at):
    team = await ground.team(at=at, zone="America/New_York")
    await ground.run(team, at=at, rate=20 * 10**6)
    await ground.look(at=at + 31 * MINUTE)
    policy = await ground.policy(team)
    assert (policy.terms, policy.version) == (TEAM_DEFAULT, 0)
    assert policy.paused_until == datetime(2026, 3, 2, 5, tzinfo=UTC)


async def test_a_pause_ends_when_the_budget_is_raised(ground, at):
    team = await ground.team(at=at)
    await ground.run(team, at=at, rate=20 * 10**6)
    await ground.look(at=at + 31 * MINUTE)
    await ground.set(team, at=at + 40 * MINUTE, daily_budget_micros=50 * 10**6)
    assert (await ground.policy(team)).paused_until is None
    assert (await ground.told(team))[-1] == ("resumed", None)


async def test_of_a_day_and_a_month_that_are_both_used_up_the_month_pauses(ground, at):
    team = await ground.team(at=at)
    await ground.set(team, at=at, daily_budget_micros=RATE, monthly_budget_micros=RATE + 1)
    await ground.run(team, at=at)
    await ground.look(at=at + HOUR)
    assert (await ground.policy(team)).paused_until == MIDNIGHT
    await ground.look(at=at + HOUR + MINUTE)
    assert (await ground.policy(team)).paused_until == datetime(2026, 4, 1, tzinfo=UTC)


async def test_a_budget_that_only_alerts_pauses_nothing(ground, at):
    await ground.set(ground.account, at=at, daily_budget_micros=RATE, on_budget_exceeded=OnExceeded.ALERT)
    await ground.run(at=at)
    await ground.look(at=at + HOUR)
    assert ("exceeded", 100) in await ground.told(ground.account)
    assert (await ground.policy(ground.account)).paused_until is None


async def test_what_a_hard_budget_ended_is_told_and_pauses(ground, at):
    team = await ground.team(at=at)
    await ground.set(team, at=at, daily_budget_micros=RATE + 1234, on_budget_exceeded=OnExceeded.STOP_ALL)
    rental = await ground.run(team, at=at)
    await ground.stop(rental, at=at + 2 * HOUR)
    await ground.look(at=at + 2 * HOUR)
    assert [happened for happened, _ in await ground.told(team)] == ["exceeded", "paused"]


async def test_money_that_comes_back_does_not_end_a_pause_before_its_period_does(ground, worker_db, at):
    team = await ground.team(at=at)
    await ground.set(team, at=at, daily_budget_micros=RATE)
    rental = await ground.run(team, at=at)
    await ground.look(at=at + HOUR)
    await ground.stop(rental, at=at + HOUR)
    async with worker_db.begin_unscoped() as session:
        await wallet.refund_host_fault(
            session, account_id=ground.account, rental_id=rental, at=at + HOUR, reason="host fault"
        )
    await ground.look(at=at + HOUR + MINUTE)
    policy = await ground.policy(team)
    assert policy.paused_until == MIDNIGHT, "what was told stays so until the period is over or the budget is raised"


async def test_the_reconciler_finds_what_is_due_and_looks_once(ground, worker_db, holding, at):
    team = await ground.team(at=at)
    await ground.set(team, at=at, daily_budget_micros=RATE)
    await ground.run(team, at=at)
    watch = budgets(worker_db)

    async def mine(moment):
        return [look for look in await watch.find(Round(moment, holding), 1000) if look.account_id == ground.account]

    assert await mine(at - MINUTE) == []
    [look] = await mine(at + HOUR)
    assert str(look) == ground.account
    assert await watch.step(Round(at + HOUR, holding), look) == "told"
    assert await mine(at + HOUR) == []
    assert await watch.step(Round(at + HOUR, holding), look) == "nothing_new"


async def test_a_worker_that_lost_its_lease_tells_nothing(ground, worker_db, holding, at):
    await ground.set(ground.account, at=at, daily_budget_micros=RATE)
    await ground.run(at=at)
    stale = Holding(holding.owner, dict.fromkeys(map(bucket_name, range(BUCKETS)), 0))
    watch = budgets(worker_db)
    [look] = [
        found for found in await watch.find(Round(at + HOUR, holding), 1000) if found.account_id == ground.account
    ]
    assert look.bucket == bucket_of(ground.account)
    with pytest.raises(StaleFenceError):
        await watch.step(Round(at + HOUR, stale), look)
    assert await ground.told(ground.account) == []
