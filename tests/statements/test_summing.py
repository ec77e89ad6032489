"""A statement is the ledger's month: opening and movements make the closing, in every form the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.kit.db import driver
from app.ledger import Kind
from app.ledger import invariants as ledger_invariants
from app.statements import Month

from .conftest import Money
from .reading import NUMBERS, URL, as_csv, expected, numbers_of, read_csv, read_pdf, rows_of

START = datetime(2025, 11, 15, 8, 30, tzinfo=UTC)
LAST = Month(2026, 3)

amounts = st.integers(1, 60_000_000) | st.sampled_from([1, 10_000, 1_000_000, 25_000_000])
pauses = st.integers(0, 12 * 24 * 3600 * 1000)
choice = st.integers(0, 1000)
steps = st.lists(
    st.tuples(pauses, st.sampled_from(["deposit", "begin", "use", "late", "end", "fault", "dispute", "grant"]), amounts, choice),
    max_size=25,
)  # fmt: skip


async def play(money, plan):  # noqa: C901 - one branch for each deed
    """Move money by a plan, as far as there is any; usage may be captured after the end of the month it belongs to."""
    at, available, owed, ended = START, 0, 0, []
    for pause, deed, amount, chosen in plan:
        at += timedelta(milliseconds=pause)
        running = list(money.running)
        rental = running[chosen % len(running)] if running else None
        if deed == "deposit":
            await money.deposit(amount, at)
        elif deed == "grant" and not owed:
            await money.move(Kind.PROMO_GRANT, amount, at)
        elif deed == "begin" and available >= amount:
            await money.begin(amount, at)
        elif deed == "use" and rental:
            await money.use(rental, 1 + chosen, at)
        elif deed == "late" and rental:
            await money.use(rental, 1 + chosen, Month.of(at).starts_at - timedelta(microseconds=1))
        elif deed == "end" and rental and not owed:
            await money.end(rental, at)
            ended.append(rental)
        elif deed == "fault" and ended and not owed:
            await money.move(Kind.HOST_FAULT_REFUND, 1 + chosen, at, rental_id=ended[chosen % len(ended)])
        elif deed == "dispute":
            if available:
                await money.move(Kind.CLAWBACK, available, at)
            await money.move(Kind.DEBT_INCURRED, amount, at)
        async with money.db.begin_unscoped() as session:
            available, owed = await driver(session).fetchrow(
                "SELECT available, owed FROM wallets WHERE account_id = $1", money.account
            )


@given(plan=steps)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_months_chain_and_every_form_tells_what_the_ledger_says(plan, new_account, worker_db, client_for, clock):
    money = Money(worker_db, await new_account(audited=False))
    await play(money, plan)
    clock.at = LAST.ends_at + timedelta(days=1)
    rows = await rows_of(worker_db, money.account)
    client = await client_for(money.account, "billing:read")
    months = (await client.get(URL, params={"limit": 200})).json()["data"][::-1]
    assert [month["month"] for month in months] == _months_since(rows)
    before = dict.fromkeys(NUMBERS, "0.00")
    for month in months:
        told = (await client.get(f"{URL}/{month['month']}")).json()
        _check(told, expected(rows, month["month"]))
        assert told["opening"] == month["opening"] == before
        assert told["closing"] == month["closing"]
        assert month["movements"] == sum(line["count"] for line in told["movements"])
        before = told["closing"]
        table = await client.get(f"{URL}/{month['month']}", params={"format": "csv"})
        assert read_csv(table.text) == as_csv(told)
        paper = await client.get(f"{URL}/{month['month']}", headers={"Accept": "application/pdf"})
        words, _ = read_pdf(paper.content)
        assert [number for number in numbers_of(told) if number not in words] == []
    async with worker_db.begin_unscoped() as session:
        assert await ledger_invariants.broken_for(session, [money.account]) == []
        wallet = await driver(session).fetchrow(
            "SELECT available, reserved, owed FROM wallets WHERE account_id = $1", money.account
        )
    assert [int(Decimal(before[name]) * 1_000_000) for name in ("available", "reserved", "owed")] == list(wallet)


def _months_since(rows):
    if not rows:
        return []
    month, months = Month.of(min(row["effective_at"] for row in rows)), []
    while month <= LAST.next:
        months.append(str(month))
        month = month.next
    return months


def _check(told, true):
    assert {line["kind"]: line for line in told["movements"]} == true["movements"]
    for name in ("opening", "closing", "rentals"):
        assert told[name] == true[name]
    assert {paid["payment_id"]: paid["credited"] for paid in told["payments"]} == true["payments"]
    for name in NUMBERS:
        moved = sum(Decimal(line["change"][name]) for line in told["movements"])
        assert Decimal(told["opening"][name]) + moved == Decimal(told["closing"][name])
    total = Decimal(told["opening"]["total"]) + Decimal(told["total_in"]) - Decimal(told["total_out"])
    assert total == Decimal(told["closing"]["total"])
    for name in ("seconds", "charged", "refunded", "net"):
        assert Decimal(told["usage"][name]) == sum(Decimal(used[name]) for used in told["rentals"])
    assert told["usage"]["rentals"] == len(told["rentals"])


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "2026-3", "26-03", "1999-12", "2026-03-01", "\uff12\uff10\uff12\uff16-03", "", "x"]
)
def test_what_is_no_month_is_refused(text):
    with pytest.raises(ValueError, match="month"):
        Month.parse(text)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2998, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - bounds
def test_every_moment_lies_in_one_month(at):
    month = Month.of(at)
    assert month.starts_at <= at < month.ends_at == month.next.starts_at
    assert Month.parse(str(month)) == month
    assert str(month) < str(month.next)
    assert month < month.next
