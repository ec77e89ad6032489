"""Days of rentals on hard budgets, settled whenever somebody comes to it: no day's or month's budget is ever exceeded."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from app import policies
from app.kit.ids import UserId
from app.policies import OnExceeded, Rules, Spender, stand

START = datetime(2026, 3, 27, 19, 7, 11, 375_000, tzinfo=UTC)  # Berlin's clocks go forward two nights later
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe")


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_runs_and_whoever_sleeps_no_budget_is_exceeded(ground, worker_db, seed):
    chance = random.Random(seed)
    now, zone = START, chance.choice(ZONES)
    team, user = await ground.team(at=now, zone=zone), UserId.new()
    budgets = {team: chance.randint(2, 40) * 10**6, user: chance.randint(2, 40) * 10**6}
    hard = {"on_budget_exceeded": OnExceeded.STOP_ALL}
    await ground.set(team, at=now, daily_budget_micros=budgets[team], **hard)
    await ground.set(user, at=now, time_zone=chance.choice(ZONES), monthly_budget_micros=budgets[user], **hard)
    running = []
    for _ in range(14):
        now += timedelta(milliseconds=chance.choice([chance.randint(1, 10**6), chance.randint(1, 10**8)]))
        deed = chance.random()
        if deed < 0.45 and len(running) < 4:
            mine = chance.choice([(team, user), (team, None), (None, user)])
            running.append(await ground.run(mine[0], user=mine[1], at=now, rate=chance.randint(1, 10**7)))
        elif deed < 0.6 and running:
            await ground.stop(running.pop(chance.randrange(len(running))), at=now)
        elif running:
            await ground.settle(*chance.sample(running, chance.randint(1, len(running))), at=now)
        await within(ground, worker_db, (team, user), at=now)
    now += timedelta(days=3)
    for rental in running:
        await ground.stop(rental, at=now)
    await within(ground, worker_db, (team, user), at=now)


async def within(ground, worker_db, subjects, *, at):
    """By the books that every decision reads, each subject lies within its budgets: now and in the days before.

    A worker that slept posts late what belongs to earlier days.
    """
    async with worker_db.begin_unscoped() as session:
        for policy in await policies.get_policies(session, account_id=ground.account, subjects=subjects):
            since_now, moment = 0, at
            for _ in range(4):
                [spent] = await settled(session, ground, policy, at=moment)
                assert spent.settled - since_now <= spent.budget.amount, (policy.subject, spent.budget.since)
                since_now, moment = spent.settled, spent.budget.since - timedelta(microseconds=1)


async def settled(session, ground, policy, *, at):
    """What was captured of a policy's budget since the period began in which a moment lies."""
    spender = Spender(ground.account, **{f"{policy.kind}_id": policy.subject})
    return (await stand(session, Rules(spender, (policy,), ()), at=at)).spent
