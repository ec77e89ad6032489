"""Every transfer is counted once, on its day, for whom and for which machine it was."""

from __future__ import annotations

from datetime import timedelta

from app.kit.db import driver
from app.reports import Grouping, Sight, sum_spending
from app.reports.spending import Days
from tests.reports.ground import day


async def spent(books, *, by, tag=None, since="2026-01-01", until="2027-01-01", sight=None, limit=1000):
    days = Days(day(since).date(), day(until).date())
    async with books.db.begin_unscoped() as session:
        return await sum_spending(session, sight or Sight(books.account, None), days, by=by, tag=tag, limit=limit)


def nets(spending):
    return {group.key: group.sums.net for group in spending.groups}


async def test_a_charge_belongs_to_the_machine_that_was_in_use(books):
    at = day("2026-03-01", hours=10)
    ran = await books.rent(at)
    await books.start(ran, at, provider="vast")
    await books.settle(ran, at + timedelta(seconds=600))
    await books.interrupt(ran, at + timedelta(seconds=700), last_well=at + timedelta(seconds=690))
    await books.start(ran, at + timedelta(seconds=900), provider="lambda", family="rtx-3090")
    await books.end(ran, at + timedelta(seconds=1900))
    for _ in range(2):
        assert nets(await spent(books, by=Grouping.PROVIDER)) == {"lambda": 1_000_000, "vast": 690_000}
        assert nets(await spent(books, by=Grouping.FAMILY)) == {"rtx-3090": 1_000_000, "rtx-4090": 690_000}
        await books.count(at)
    async with books.db.begin_unscoped() as session:
        assert (
            await driver(session).fetchval("SELECT count(*) FROM report_spend WHERE account_id = $1", books.account)
            == 2
        )
