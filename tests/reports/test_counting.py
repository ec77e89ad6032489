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
        await books.count(at + timedelta(days=2))
    async with books.db.begin_unscoped() as session:
        assert (
            await driver(session).fetchval("SELECT count(*) FROM report_spend WHERE account_id = $1", books.account)
            == 2
        )


async def test_a_machine_that_replaces_another_at_once_takes_nothing_of_its_charges(books):
    at = day("2026-03-01", hours=10)
    ran = await books.rent(at)
    await books.start(ran, at, provider="vast")
    moved = at + timedelta(seconds=600)
    await books.interrupt(ran, moved, last_well=moved)
    await books.start(ran, moved, provider="lambda")
    await books.end(ran, moved + timedelta(seconds=100))
    assert nets(await spent(books, by=Grouping.PROVIDER)) == {"vast": 600_000, "lambda": 100_000}


async def test_what_is_given_back_is_given_back_by_the_machine_that_was_charged_last(books):
    """The first machine was gone for 300 s before it was noticed; the second one used 100 of them, and then it ended."""
    at = day("2026-03-01", hours=10)
    ran = await books.rent(at)
    await books.start(ran, at, provider="vast")
    await books.settle(ran, at + timedelta(seconds=900))
    await books.interrupt(ran, at + timedelta(seconds=900), last_well=at + timedelta(seconds=600))
    again = at + timedelta(seconds=1000)
    await books.start(ran, again, provider="lambda")
    given = await books.end(ran, again + timedelta(seconds=100), good_until=again + timedelta(seconds=100))
    assert given == 200_000
    [group] = (await spent(books, by=Grouping.PROVIDER)).groups
    assert (group.key, group.sums.charged, group.sums.refunded) == ("vast", 900_000, 200_000)


async def test_a_charge_belongs_to_the_day_of_utc_on_which_it_took_effect(books):
    at = day("2026-03-01", hours=23, minutes=50)
    ran = await books.rent(at, tags={"project": "x"})
    await books.start(ran, at)
    await books.settle(ran, at + timedelta(seconds=599))
    await books.settle(ran, at + timedelta(seconds=600))
    await books.end(ran, at + timedelta(seconds=700))
    for _ in range(2):
        days = nets(await spent(books, by=Grouping.DAY))
        assert list(days.items()) == [("2026-03-02", 101_000), ("2026-03-01", 599_000)]
        assert nets(await spent(books, by=Grouping.DAY, until="2026-03-02")) == {"2026-03-01": 599_000}
        assert nets(await spent(books, by=Grouping.TAG, tag="project", since="2026-03-02")) == {"x": 101_000}
        await books.count(at)


async def test_what_sleeps_is_charged_to_its_machine_too(books):
    at = day("2026-03-01", hours=10)
    ran = await books.rent(at, rate=3_600_000)
    await books.start(ran, at, provider="hyperstack", family="l40s-48gb")
    await books.sleep(ran, at + timedelta(seconds=100), rate=36_000)
    await books.end(ran, at + timedelta(seconds=1100))
    assert nets(await spent(books, by=Grouping.FAMILY)) == {"l40s-48gb": 110_000}
