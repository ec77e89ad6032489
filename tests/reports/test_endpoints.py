"""Reports over HTTP: who sees what, in which form, and what is refused."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest

from app.kit.ids import ApiKeyId, TeamId, UserId
from tests.reports.ground import day

SPEND, FORECAST, IDLE, CHARGEBACK = (f"/v1/reports/{name}" for name in ("spend", "forecast", "idle", "chargeback"))
ME = UserId.new()
NOON = day("2026-03-01", hours=12)


@pytest.fixture
async def two_teams(books):
    """Research spent $2 and $0.50 of March, web $1, nobody's rental $0.25; each of another person and key."""
    research, web = await books.team("research", NOON), await books.team("=web", NOON)
    for seconds, whose in (
        (2000, {"team_id": research, "user_id": ME, "tags": {"project": "alpha"}}),
        (500, {"team_id": research, "key_id": ApiKeyId.new(), "tags": {"project": "beta"}}),
        (1000, {"team_id": web, "user_id": UserId.new(), "tags": {"project": "beta"}}),
        (250, {"user_id": ME}),
    ):
        ran = await books.rent(NOON, **whose)
        await books.start(ran, NOON)
        await books.end(ran, NOON + timedelta(seconds=seconds))
    return research, web


async def test_the_team_report_reads_dearest_first(books, two_teams, client_for):
    client = await client_for(books.account, "teams:read")
    told = await client.get(SPEND, headers={"Accept": "text/plain"})
    assert told.headers["content-type"] == "text/plain; charset=utf-8"
    assert told.text == ("Team Spending Report:\n  research: $2.50\n  =web: $1.00\n  no team: $0.25\nTotal: $3.75\n")


async def test_every_form_tells_the_same(books, two_teams, client_for):
    client = await client_for(books.account, "teams:read")
    for group_by in ("team", "user", "key", "family", "provider", "day", "tag:project"):
        query = {"group_by": group_by, "since": "2026-03-01", "until": "2026-03-02"}
        told = (await client.get(SPEND, params=query)).json()
        assert told["total"] == {"seconds": 3750, "charged": "3.75", "refunded": "0.00", "net": "3.75"}
        table = (await client.get(SPEND, params=query | {"format": "csv"})).text
        rows = list(csv.DictReader(io.StringIO(table)))
        assert [(row["key"], row["net"], int(row["rentals"])) for row in rows] == [
            (group["key"] or "", group["net"], group["rentals"]) for group in told["groups"]
        ]
    assert [(group["name"], group["net"]) for group in told["groups"]] == [
        ("alpha", "2.00"),
        ("beta", "1.50"),
        ("untagged", "0.25"),
    ]


async def test_no_name_becomes_a_formula_in_a_spreadsheet(books, two_teams, client_for):
    client = await client_for(books.account)
    assert ",'=web," in (await client.get(SPEND, headers={"Accept": "text/csv"})).text
    assert ",'=web," in (await client.get(f"{CHARGEBACK}/2026-03", headers={"Accept": "text/csv"})).text


async def test_what_is_not_shown_is_in_the_sum(books, two_teams, client_for):
    client = await client_for(books.account, "teams:read")
    told = (await client.get(SPEND, params={"limit": 1})).json()
    assert [group["name"] for group in told["groups"]] == ["research"]
    assert told["others"] == {"groups": 2, "seconds": 1250, "charged": "1.25", "refunded": "0.00", "net": "1.25"}
    assert told["total"]["net"] == "3.75"
    text = (await client.get(SPEND, params={"limit": 1, "format": "text"})).text
    assert "  2 others: $1.25\nTotal: $3.75\n" in text


async def test_a_member_sees_its_teams_and_what_it_rented_itself(books, two_teams, client_for, clock):
    research, _ = two_teams
    clock.at = NOON + timedelta(hours=2)
    for reach, mine, total in (
        (frozenset({research}), UserId.new(), "2.50"),
        (frozenset({research}), ME, "2.75"),
        (frozenset(), ME, "2.25"),
        (frozenset({TeamId.new()}), UserId.new(), "0.00"),
    ):
        client = await client_for(books.account, "teams:read", "billing:read", reach=reach, user_id=mine, key_id=None)
        told = (await client.get(SPEND)).json()
        assert (told["coverage"], told["total"]["net"]) == ("reach", total)
        back = (await client.get(f"{CHARGEBACK}/2026-03")).json()
        assert (back["coverage"], back["total"]["net"]) == ("reach", total)
        ahead = (await client.get(FORECAST)).json()
        assert (ahead["coverage"], ahead["pace"]["spent"]) == ("reach", total)


async def test_a_person_sees_what_its_keys_rented_and_a_teams_key_not_what_its_maker_did(books, client_for, clock):
    team, key = await books.team("research", NOON), ApiKeyId.new()
    clock.at = NOON + timedelta(hours=2)
    for seconds, whose in (
        (1000, {"key_id": key, "user_id": ME}),
        (500, {"user_id": ME}),
        (250, {"team_id": team, "key_id": ApiKeyId.new()}),
    ):
        ran = await books.rent(NOON, **whose)
        await books.start(ran, NOON)
        await books.settle(ran, NOON + timedelta(seconds=seconds))
        await books.end(ran, NOON + timedelta(seconds=seconds))
    left = await books.rent(NOON, key_id=key, user_id=ME)
    await books.start(left, NOON + timedelta(hours=1))
    for caller, total, accrued in (
        ({"user_id": ME, "key_id": None, "reach": frozenset()}, "1.50", "3.60"),
        ({"user_id": ME, "key_id": ApiKeyId.new(), "reach": frozenset()}, "1.50", "3.60"),
        ({"user_id": ME, "key_id": ApiKeyId.new(), "reach": frozenset({team}), "team_id": team}, "0.25", "0.00"),
    ):
        client = await client_for(books.account, "teams:read", "billing:read", **caller)
        assert (await client.get(SPEND)).json()["total"]["net"] == total
        assert (await client.get(f"{CHARGEBACK}/2026-03")).json()["total"]["net"] == total
        assert (await client.get(FORECAST)).json()["pace"]["accrued"] == accrued


async def test_another_account_sees_nothing_of_it(books, two_teams, client_for, new_account):
    client = await client_for(await new_account(), reach=frozenset(two_teams), user_id=ME)
    assert (await client.get(SPEND)).json()["groups"] == []
    assert (await client.get(f"{CHARGEBACK}/2026-03")).json()["teams"] == []
    assert (await client.get(IDLE)).json()["rentals"] == []
    assert (await client.get(FORECAST)).json()["teams"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"group_by": "rental"},
        {"group_by": "tag:"},
        {"group_by": f"tag:{'x' * 65}"},
        {"group_by": "tag"},
        {"since": "2026-02-30"},
        {"since": "1700000000"},
        {"since": "9999-12-31"},
        {"until": "0001-01-01"},
        {"since": "2026-03-02", "until": "2026-03-02"},
        {"since": "2001-01-01", "until": "2026-03-02"},
        {"limit": "0"},
        {"format": "pdf"},
        {"unknown": "1"},
    ],
)
async def test_what_makes_no_sense_is_refused(books, client_for, query):
    client = await client_for(books.account)
    told = await client.get(SPEND, params=query)
    assert (told.status_code, told.json()["code"]) == (422, "validation_failed")


async def test_days_that_are_not_given_follow_from_the_others(books, two_teams, client_for, clock):
    client = await client_for(books.account)
    clock.at = day("2026-04-15", hours=3)
    for query, days in (
        ({}, ("2026-04-01", "2026-04-16")),
        ({"since": "2026-03-01"}, ("2026-03-01", "2026-04-16")),
        ({"until": "2026-04-01"}, ("2026-03-01", "2026-04-01")),
        ({"since": "2999-12-31"}, ("2999-12-31", "3000-01-01")),
    ):
        told = (await client.get(SPEND, params=query)).json()
        assert (told["since"], told["until"]) == days


async def test_each_report_needs_its_scope(books, client_for):
    client = await client_for(books.account, "rentals:read")
    for path, scope in ((SPEND, "teams:read"), (FORECAST, "teams:read"), (IDLE, "teams:read"), (f"{CHARGEBACK}/2026-03", "billing:read")):  # fmt: skip
        told = await client.get(path)
        assert (told.status_code, told.json()["required_scope"]) == (403, scope)


async def test_a_month_that_is_none_or_has_not_begun_is_not_found(books, client_for):
    client = await client_for(books.account)
    for month in ("2026-13", "2026-04", "x", "2026-3"):
        assert (await client.get(f"{CHARGEBACK}/{month}")).status_code == 404
    assert (await client.get(f"{CHARGEBACK}/2025-01")).json()["teams"] == []
