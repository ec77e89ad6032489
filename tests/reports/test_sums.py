"""Whatever happens to rentals, every report adds up to the ledger to the micro-dollar, counted or not."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app import ledger, wallet
from app.kit.db import driver
from app.kit.ids import TeamId, UserId
from app.ledger import Kind, Movement
from app.reports import Grouping, Sight, Sums, sum_spending
from app.reports.spending import Days
from tests.reports.ground import Books, day

START = day("2026-01-30", hours=20)
YEAR = Days(day("2026-01-01").date(), day("2027-01-01").date())
TEAMS = (None, TeamId.new(), TeamId.new())
PEOPLE = (UserId.new(), UserId.new())
CLOUDS = (("vast", "rtx-4090"), ("lambda", "rtx-4090"), ("runpod", "h100-80gb"))

deeds = st.sampled_from(["rent", "settle", "settle", "interrupt", "resume", "sleep", "end", "lose", "count", "count"])
plans = st.lists(st.tuples(st.integers(1, 9 * 3600), deeds, st.integers(0, 1000)), min_size=8, max_size=30)


class Told:
    """What a person with pen and paper would make of the ledger's rows: each noted when it is posted."""

    def __init__(self, books):
        self.books, self.seen = books, 0
        self.by = {by: Counter() for by in Grouping}
        self.whose, self.on, self.charged_on = {}, {}, {}

    async def note(self):
        rows = await self.books.rows()
        for row in rows[self.seen :]:
            rental = row["rental_id"]
            if row["credit"] == "spend":
                self.charged_on[rental] = self.on[rental]
            provider, family = self.charged_on[rental]
            team, person, tag = self.whose[rental]
            amount = row["amount"] if row["credit"] == "spend" else -row["amount"]
            keys = (team, person, None, tag, family, provider, str(row["effective_at"].date()))
            for by, key in zip(Grouping, keys, strict=True):
                self.by[by][key] += amount
        self.seen = len(rows)


async def play(books, plan, told):
    """Let rentals live by a plan, as far as it makes sense."""
    at = START
    for pause, deed, chosen in plan:
        at += timedelta(seconds=pause)
        running = [ran for ran in books.rentals if ran.is_running]
        resting = [ran for ran in books.rentals if not ran.is_running and ran.moves >= 0]
        one = running[chosen % len(running)] if running else None
        provider, family = CLOUDS[chosen % len(CLOUDS)]
        if deed == "rent" or not books.rentals:
            team, person = TEAMS[chosen % 3], PEOPLE[chosen % 2]
            tag = f"p{chosen % 4}"
            ran = await books.rent(at, rate=1_000_000 + chosen * 7_919, family=family, team_id=team, user_id=person, tags={"project": tag})  # fmt: skip
            told.whose[ran.id], told.on[ran.id] = (team, person, tag), (provider, family)
            await books.start(ran, at, provider=provider, family=family)
        elif deed == "settle" and one:
            await books.settle(one, at)
        elif deed == "interrupt" and one:
            await books.interrupt(one, at, last_well=max(at - timedelta(seconds=chosen), one.began))
            one.moves += 1
        elif deed == "resume" and resting:
            ran = resting[chosen % len(resting)]
            await told.note()
            told.on[ran.id] = (provider, family)
            await books.start(ran, at, provider=provider, family=family)
        elif deed == "sleep" and one:
            await books.sleep(one, at, rate=100_000 + chosen)
        elif deed in {"end", "lose"} and books.rentals:
            ran = (running or resting or [None])[0]
            if ran:
                good = max(at - timedelta(seconds=7 * chosen), ran.began) if deed == "lose" else None
                await books.end(ran, at, good_until=good)
                ran.moves = -1
        elif deed == "count":
            await books.count(at)
        await told.note()
    return at


QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}


@given(plan=plans)
@settings(max_examples=12, **QUIET)
async def test_every_grouping_adds_up_to_the_ledger_at_any_moment(plan, worker_db, new_account):
    await adds_up(plan, worker_db, new_account)


@pytest.mark.soak
@given(plan=plans)
@settings(max_examples=300, **QUIET)
async def test_every_grouping_adds_up_to_the_ledger_after_much_more(plan, worker_db, new_account):
    await adds_up(plan, worker_db, new_account)


async def adds_up(plan, worker_db, new_account):
    books = Books(worker_db, await new_account(micros=10_000_000_000))
    told = Told(books)
    at = await play(books, plan, told)
    for _ in range(2):
        for by in Grouping:
            spending = await _spent(books, by)
            assert {g.key: g.sums.net for g in spending.groups if g.sums.net} == {
                k: v for k, v in told.by[by].items() if v
            }
            assert sum((g.sums for g in spending.groups), start=Sums()) == spending.total
        rows = await books.rows()
        assert spending.total.charged == sum(row["amount"] for row in rows if row["credit"] == "spend")
        assert spending.total.refunded == sum(row["amount"] for row in rows if row["debit"] == "spend")
        assert spending.total.seconds == sum(row["to_s"] - row["from_s"] for row in rows if row["credit"] == "spend")
        await books.count(at)


async def test_nothing_is_seen_twice_or_missed_while_it_is_counted(books):
    """Readers, one who counts and one who pays, all at once."""
    ran = await books.rent(START, rate=3_600_000_000 // 10)
    await books.start(ran, START)
    over = asyncio.Event()

    async def pay():
        for second in range(1, 60):
            await books.settle(ran, START + timedelta(seconds=second))
        over.set()

    async def count():
        while not over.is_set():
            await books.count(START)

    async def read():
        looked = 0
        while not over.is_set():
            async with books.db.begin_unscoped() as session:
                await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                told = await sum_spending(session, Sight(books.account, None), YEAR, by=Grouping.DAY)
                true = await driver(session).fetchval(
                    "SELECT coalesce(sum(amount), 0) FROM transfers WHERE account_id = $1 AND credit = 'spend'",
                    books.account,
                )
            assert told.total.charged == true
            looked += 1
        return looked

    looked = await asyncio.gather(read(), read(), pay(), count())
    assert min(looked[:2]) > 3


async def test_what_belongs_to_no_rental_and_a_debt_repaid_from_spending_are_in_it(worker_db, new_account):
    account = await new_account(micros=5_000_000, audited=False)
    books = Books(worker_db, account)
    ran = await books.rent(START)
    await books.start(ran, START)
    await books.end(ran, START + timedelta(seconds=1000))

    async def post(kind, amount, **more):
        movement = Movement(account, kind, amount, f"{kind}:{amount}", START, actor="test", **more)
        async with worker_db.begin_unscoped() as session:
            await ledger.post(session, movement)

    await post(Kind.RESERVE, 300)
    await post(Kind.INFERENCE_USAGE, 300)
    async with worker_db.begin_unscoped() as session:
        left = (await wallet.get_balance(session, account_id=account, at=START)).available
    await post(Kind.CLAWBACK, left)
    await post(Kind.DEBT_INCURRED, 500_000)
    async with worker_db.begin_unscoped() as session:
        await wallet.refund_host_fault(
            session, account_id=account, rental_id=ran.id, at=START, reason="test", good_until=START
        )
    for _ in range(2):
        by_family = {g.key: g.sums for g in (await _spent(books, Grouping.FAMILY)).groups}
        assert by_family == {"rtx-4090": Sums(1000, 1_000_000, 1_000_000), None: Sums(0, 300, 0)}
        await books.count(START)


async def _spent(books, by):
    tag = "project" if by is Grouping.TAG else None
    async with books.db.begin_unscoped() as session:
        return await sum_spending(session, Sight(books.account, None), YEAR, by=by, tag=tag)
