"""A month by team adds up to the ledger and to the statement, in JSON, CSV and on paper."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal

import pytest
from pypdf import PdfReader

from app.kit.ids import UserId
from app.reports.charging_back import Chargeback, Part
from app.reports.paper import FAMILIES_OF_TEAMS_MAX, TEAMS_MAX, printed
from app.reports.spending import Spent, Sums
from app.statements import Month
from tests.reports.ground import day

URL = "/v1/reports/chargeback/2026-02"


@pytest.fixture
async def february(books):
    """Three teams' rentals, one of which runs from January into February and one on into March; one is no team's."""
    names = ("Forschung & <Lehre>", "web", "ops")
    teams = [await books.team(name, day("2026-01-01")) for name in names]
    begun = day("2026-01-31", hours=23, minutes=50)
    first = await books.rent(begun, rate=2_777_777, team_id=teams[0], family="h100-80gb")
    await books.start(first, begun, family="h100-80gb")
    await books.settle(first, begun + timedelta(minutes=20))
    await books.interrupt(first, begun + timedelta(minutes=30), last_well=begun + timedelta(minutes=29))
    await books.start(first, begun + timedelta(minutes=40), family="a100-80gb", provider="lambda")
    await books.end(first, begun + timedelta(minutes=61))
    for number, team in enumerate((teams[1], teams[1], teams[2], None)):
        at = day("2026-02-10", hours=number)
        ran = await books.rent(at, rate=1_234_567 + number, team_id=team, user_id=UserId.new())
        await books.start(ran, at)
        await books.end(ran, at + timedelta(seconds=1111), good_until=at if number == 1 else None)
    late = day("2026-02-28", hours=23, minutes=55)
    last = await books.rent(late, team_id=teams[2])
    await books.start(last, late)
    return teams, last, late


def read_pdf(body):
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(body)).pages)


def added(rows, name):
    return sum(Decimal(row[name]) for row in rows)


async def test_the_parts_add_up_to_the_ledger_and_to_the_statement(books, february, client_for, clock):
    _, last, late = february
    await books.settle(last, late + timedelta(minutes=10))
    clock.at = day("2026-03-01", hours=1)
    client = await client_for(books.account, "billing:read")
    statement = (await client.get("/v1/billing/statements/2026-02")).json()
    rows = [row for row in await books.rows() if row["effective_at"].month == 2]
    for _ in range(2):
        told = (await client.get(URL)).json()
        assert (told["final"], told["as_of"], told["coverage"]) == (True, "2026-03-01T00:00:00.000Z", "account")
        for name in ("charged", "refunded", "net", "seconds"):
            assert added(told["teams"], name) == Decimal(told["total"][name]) == Decimal(statement["usage"][name])
            for team in told["teams"]:
                assert added(team["families"], name) == Decimal(team[name])
        assert Decimal(told["total"]["charged"]) * 1_000_000 == sum(r["amount"] for r in rows if r["credit"] == "spend")
        assert Decimal(told["total"]["refunded"]) * 1_000_000 == sum(r["amount"] for r in rows if r["debit"] == "spend")
        assert [(team["team"], team["rentals"]) for team in told["teams"]] == [
            ("Forschung & <Lehre>", 1),
            ("ops", 2),
            ("no team", 1),
            ("web", 2),
        ]
        assert {one["family"] for one in told["teams"][0]["families"]} == {"h100-80gb", "a100-80gb"}
        table = list(csv.DictReader(io.StringIO((await client.get(URL, params={"format": "csv"})).text)))
        assert [(row["team"], row["net"]) for row in table] == [(team["team"], team["net"]) for team in told["teams"]]
        await books.count(clock.at)


async def test_a_month_is_final_once_it_is_over_and_settled(books, february, client_for, clock):
    _, last, late = february
    client = await client_for(books.account, "billing:read")
    for at, final in ((day("2026-02-28", hours=23), False), (day("2026-03-01", hours=1), False)):
        clock.at = at
        assert (await client.get(URL)).json()["final"] is final
    await books.settle(last, late + timedelta(minutes=10))
    told = (await client.get(URL)).json()
    assert told["final"]
    await books.end(last, late + timedelta(minutes=50), good_until=late)
    clock.at = day("2026-03-05")
    assert (await client.get(URL)).json() == told


async def test_the_paper_tells_what_json_tells(books, february, client_for, clock):
    clock.at = day("2026-02-28", hours=23, minutes=59)
    client = await client_for(books.account, "billing:read")
    told = (await client.get(URL)).json()
    paper = await client.get(URL, headers={"Accept": "application/pdf"})
    assert paper.headers["content-disposition"] == 'attachment; filename="hourglass-chargeback-2026-02.pdf"'
    words = read_pdf(paper.content)
    for team in told["teams"]:
        assert team["team"] in words
        for name in ("charged", "refunded", "net"):
            assert team[name] in words
    assert told["total"]["net"] in words
    assert "provisional" in words
    assert "Page 1 of 1" in words


async def test_many_teams_fit_on_paper():
    parts = tuple(
        Part(f"team_{n}", f"Team {n}", 1, Sums(10, 5_000 - n, 0), (Spent("rtx-4090", 1, Sums(10, 5_000 - n, 0)),))
        for n in range(TEAMS_MAX + 3)
    )
    told = Chargeback(Month(2026, 2), day("2026-03-01"), final=True, is_whole=False, parts=parts)
    words = read_pdf(printed(told, account_id="acct_1", account_name="A" * 200))
    assert "3 others, none of which spent more" in words
    assert f"{TEAMS_MAX + 3} in all" in words
    assert f"Team {FAMILIES_OF_TEAMS_MAX - 1}\n" in words
    assert "not of the whole account" in words


async def test_an_empty_month_is_a_paper_too():
    told = Chargeback(Month(2026, 2), day("2026-03-01"), final=True, is_whole=True, parts=())
    assert "Nothing was charged." in read_pdf(printed(told, account_id="acct_1", account_name="Test"))
