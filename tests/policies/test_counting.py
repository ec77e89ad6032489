"""What was spent by local day: exact at any moment, whatever was counted already, wherever the days begin."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest

from app import policies, wallet
from app.kit.days import day_of, zone_named
from app.kit.db import driver
from app.kit.ids import ApiKeyId, RentalId, UserId
from app.kit.leases import BUCKETS, Holding, StaleFenceError, bucket_name, bucket_of, hold_share
from app.kit.money import cost
from app.kit.reconcile import Round
from app.policies.counting import Miszoned, count, find_miszoned, find_uncounted, recount
from app.policies.reconcilers import auditing, counting, recounting

ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe")
SPRING = datetime(2026, 3, 28, 20, 0, tzinfo=UTC)  # Berlin's clocks go forward in the night that follows


@dataclass
class Run:
    """One rental, played through the wallet's doors; knows what each quarter of an hour cost, second by second."""

    rental_id: RentalId
    spender: policies.Spender
    rate: int
    quarters: dict[datetime, int] = field(default_factory=lambda: defaultdict(int))
    """By its first moment; days begin with a quarter everywhere."""
    seconds: int = 0
    ran_until: datetime = SPRING
    started_at: datetime | None = None
    rate_from: int = 0

    def use(self, until: datetime) -> None:
        """Note every second that has run."""
        for second in range(int(self.ran_until.timestamp()), int(until.timestamp())):
            self.seconds += 1
            n = self.seconds - self.rate_from
            quarter = datetime.fromtimestamp(second - second % 900, UTC)
            self.quarters[quarter] += cost(self.rate, n) - cost(self.rate, n - 1)
        self.ran_until = until


class Story:
    """A few rentals of two teams, started, settled, paused, made dearer and closed at random."""

    def __init__(self, db, account_id, teams, seed):
        self.db, self.account_id, self.chance = db, account_id, random.Random(seed)
        self.at, self.runs = SPRING, []
        people, keys = [UserId.new(), None], [ApiKeyId.new(), ApiKeyId.new()]
        for _ in range(3):
            spender = policies.Spender(
                account_id, self.chance.choice([*teams, None]), self.chance.choice(people), self.chance.choice(keys)
            )
            self.runs.append(Run(RentalId.new(), spender, self.chance.randrange(100_000, 3_000_000)))

    async def begin(self):
        async with self.db.begin_unscoped() as session:
            for run in self.runs:
                who = {"account_id": self.account_id, "rental_id": run.rental_id, "at": self.at}
                whose = run.spender
                await driver(session).execute(
                    policies.COUNT_RENTAL.format("$1, $2, $3, $4, $5, 'rtx-4090', 1, $6"),
                    *(self.account_id, run.rental_id, whose.team_id, whose.key_id, whose.user_id, self.at),
                )
                await wallet.hold(session, **who, rate=run.rate, actor="test")

    async def step(self):
        self.at += timedelta(seconds=self.chance.choice((7, 61, 600, 1801, 3600, 9000)))
        run = self.chance.choice(self.runs)
        who = {"account_id": self.account_id, "rental_id": run.rental_id, "at": self.at}
        async with self.db.begin_unscoped() as session:
            if run.started_at is None:
                await wallet.start(session, **who)
                run.started_at = run.ran_until = self.at
                return
            run.use(self.at)
            match self.chance.randrange(4):
                case 0:
                    await wallet.pause(session, **who)
                    run.started_at = None
                case 1:
                    run.rate = self.chance.randrange(100_000, 3_000_000)
                    await wallet.change_rate(session, **who, rate=run.rate)
                    run.rate_from = run.seconds
                case _:
                    due = wallet.Due(self.account_id, run.rental_id, bucket_of(self.account_id))
                    await wallet.settle(session, [due], at=self.at)

    def spent(self, zone: str) -> dict[str, dict[date, int]]:
        """What was settled of each subject by local day: a second belongs to the day in which it ran."""
        found: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
        for run in self.runs:
            for quarter, micros in run.quarters.items():
                day = day_of(quarter, zone_named(zone))
                for subject in run.spender.subjects:
                    found[subject][day] += micros
        return found


@pytest.fixture
def begin_story(new_account, new_team, worker_db):
    async def beginning(seed: int) -> Story:
        account = await new_account(micros=10**9)
        teams = [await new_team(account, name=name) for name in ("red", "blue")]
        story = Story(worker_db, account, teams, seed)
        await story.begin()
        return story

    return beginning


async def _standing(session, story, subject, zone):
    """Return what stands of a subject's day and month with a budget in a zone."""
    terms = policies.Terms(daily_budget_micros=1, monthly_budget_micros=1)
    policy = policies.Policy(subject=subject, terms=terms, time_zone=zone)
    spender = next(run.spender for run in story.runs if subject in run.spender.subjects)
    standing = await policies.stand(session, policies.Rules(spender, (policy,), ()), at=story.at)
    return [spent.settled for spent in standing.spent]


@pytest.mark.parametrize("seed", range(3))
async def test_spending_is_exact_at_any_moment_and_in_any_zone(seed, begin_story, worker_db):
    story = await begin_story(seed)
    for _ in range(20):
        await story.step()
        zone = story.chance.choice(ZONES)
        expected = story.spent(zone)
        today = day_of(story.at, zone_named(zone))
        async with worker_db.begin_unscoped() as session:
            for subject, days in expected.items():
                told = await _standing(session, story, subject, zone)
                month = sum(micros for day, micros in days.items() if day >= today.replace(day=1))
                assert told == [days[today], month]
            if story.chance.random() < 0.4:
                await count(session, [story.account_id])
            if story.chance.random() < 0.3:  # the days are counted in another zone from now on
                subject = story.chance.choice(sorted(expected) or [story.account_id])
                await recount(session, Miszoned(story.account_id, subject, story.chance.choice(ZONES)))


async def test_a_late_settlement_spends_on_the_days_on_which_it_was_used(begin_story, worker_db):
    story = await begin_story(99)
    run = story.runs[0]
    async with worker_db.begin_unscoped() as session:
        await wallet.start(session, account_id=story.account_id, rental_id=run.rental_id, at=story.at)
        story.at += timedelta(hours=30)
        due = wallet.Due(story.account_id, run.rental_id, bucket_of(story.account_id))
        await wallet.settle(session, [due], at=story.at)
        told = await _standing(session, story, story.account_id, "UTC")
    hour = run.rate
    assert told == [2 * hour, 30 * hour]  # from 20:00: four hours, a day, and two hours


async def test_a_refund_lessens_the_day_on_which_it_is_given(begin_story, worker_db):
    story = await begin_story(5)
    run = story.runs[0]
    who = {"account_id": story.account_id, "rental_id": run.rental_id}
    async with worker_db.begin_unscoped() as session:
        await wallet.start(session, **who, at=story.at)
        story.at += timedelta(hours=1)
        await wallet.close(session, **who, at=story.at, billable_until=story.at)
        story.at += timedelta(hours=5)
        await wallet.refund_host_fault(session, **who, at=story.at, reason="the host failed")
        assert await _standing(session, story, story.account_id, "UTC") == [-run.rate, 0]
        await count(session, [story.account_id])
        assert await _standing(session, story, story.account_id, "UTC") == [-run.rate, 0]


@pytest.fixture
async def this(worker_db, at):
    holding = await hold_share(worker_db, "counter", [bucket_name(bucket) for bucket in range(BUCKETS)])
    return Round(at, holding)


@pytest.fixture
async def spent(begin_story, worker_db):
    """A story in which something was spent and not counted."""
    story = await begin_story(7)
    while not any(run.seconds for run in story.runs):
        await story.step()
    return story


async def _run(reconciler, this, account_id):
    """Let a reconciler find and step what is of one account."""
    items = [item for item in await reconciler.find(this, 10**6) if account_id in str(vars_of(item))]
    return [await reconciler.step(this, item) for item in items]


def vars_of(item):
    return getattr(item, "ids", None) or item.account_id


async def test_counting_finds_what_was_posted_skips_what_is_counted_and_runs_twice(spent, worker_db, this):
    async with worker_db.begin_unscoped() as session:
        assert spent.account_id in await find_uncounted(session, buckets=range(BUCKETS), limit=10**6)
    assert await _run(counting(worker_db), this, spent.account_id) == ["counted"]
    assert await _run(counting(worker_db), this, spent.account_id) == []
    async with worker_db.begin_unscoped() as session:
        assert await count(session, [spent.account_id]) == 0
        rows = await driver(session).fetch(
            "SELECT subject, day, micros FROM policy_spend WHERE account_id = $1", spent.account_id
        )
    told = defaultdict(dict)
    for subject, day, micros in rows:
        told[subject][day] = micros
    assert told == {subject: dict(days) for subject, days in spent.spent("UTC").items()}


async def test_a_stale_fence_counts_nothing(spent, worker_db, this):
    stale = Round(this.at, Holding("nobody", dict.fromkeys(this.holding.fences, 0)))
    for reconciler, item in (
        (counting(worker_db), (await counting(worker_db).find(this, 10**6))[0]),
        (recounting(worker_db), Miszoned(spent.account_id, spent.account_id, "Asia/Kolkata")),
    ):
        with pytest.raises(StaleFenceError):
            await reconciler.step(stale, item)


async def test_a_team_that_moves_is_counted_anew(spent, new_team, worker_db, this):
    team = await new_team(spent.account_id, name="green", time_zone="Asia/Kolkata")
    async with worker_db.begin_unscoped() as session:
        found = await find_miszoned(session, buckets=range(BUCKETS), limit=10**6)
    assert Miszoned(spent.account_id, team, "Asia/Kolkata") in found
    assert await _run(recounting(worker_db), this, spent.account_id) == ["recounted"]
    assert await _run(recounting(worker_db), this, spent.account_id) == []


async def test_a_day_that_is_not_the_ledgers_is_told(new_account, worker_db, this):
    account = await new_account(audited=False)
    async with worker_db.begin_unscoped() as session:
        await driver(session).execute(
            "INSERT INTO policy_spend (account_id, subject, day, micros) VALUES ($1, $1, '2026-03-01', 1)", account
        )
        await driver(session).execute("INSERT INTO policy_counted (account_id, seq) VALUES ($1, 0)", account)
    audit = auditing(worker_db)
    [item] = [one for one in await audit.find(this, 64) if one.bucket == bucket_of(account)]
    assert await audit.step(this, item) == "differs"
