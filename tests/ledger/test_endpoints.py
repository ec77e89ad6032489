"""The ledger over HTTP."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest

from app import ledger
from app.kit.ids import RentalId, TransferId
from app.ledger import Kind, Movement, Usage
from app.ledger.rendering import CSV_COLUMNS, harmless
from app.ledger.schemas import Metered, Transfer

URL = "/v1/billing/ledger"
RENTAL = RentalId.new()


@pytest.fixture
async def busy(worker_db, new_account, at):
    """An account with 60 movements, some with texts that a spreadsheet would run."""
    account = await new_account(micros=50_000_000)
    texts = ["=cmd|'/c calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", 'quote " and, comma', "line\nbreak", "ünïcode 💸", ""]
    async with worker_db.begin_unscoped() as session:
        for n in range(57):
            await ledger.post(
                session,
                Movement(
                    account,
                    Kind.ADJUSTMENT_DEBIT,
                    1_234 + n,
                    f"debit:{n}",
                    at + timedelta(minutes=n),
                    actor=texts[n % 4],
                    description=texts[n % len(texts)],
                ),
            )
        await ledger.post(session, Movement(account, Kind.RESERVE, 3_600_000, "r", at, rental_id=RENTAL))
        usage = Usage(rate=3_600_000, from_s=0, to_s=10)
        await ledger.post(session, Movement(account, Kind.USAGE, 10_000, "u", at, rental_id=RENTAL, usage=usage))
        await ledger.post(session, Movement(account, Kind.RELEASE, 3_590_000, "l", at, rental_id=RENTAL))
    return account


async def everything(client, **params):
    found, cursor = [], None
    while True:
        answer = await client.get(URL, params=params | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200
        page = answer.json()
        found += page["data"]
        cursor = page["next_cursor"]
        assert page["has_more"] == (cursor is not None)
        if cursor is None:
            return found


async def test_pages_tell_every_movement_once_newest_first(client_for, busy):
    client = await client_for(busy, "billing:read")
    rows = await everything(client, limit=7)
    assert [row["seq"] for row in rows] == list(range(61, 0, -1))
    assert rows[1]["usage"] == {"rate_per_hour": "3.60", "from_second": 0, "to_second": 10, "base_second": 0}
    for row in rows:
        assert set(row) == set(Transfer.model_fields)
        assert row["usage"] is None or set(row["usage"]) == set(Metered.model_fields)


async def test_filters_narrow_the_list_and_belong_to_its_cursor(client_for, busy, at):
    client = await client_for(busy, "billing:read")
    assert [row["kind"] for row in await everything(client, rental_id=RENTAL.lower())] == [
        "release",
        "usage",
        "reserve",
    ]
    assert {row["kind"] for row in await everything(client, kind="adjustment_debit")} == {"adjustment_debit"}
    span = {"from": (at + timedelta(minutes=10)).isoformat(), "to": "2026-03-01T13:20:00+01:00"}
    minutes = [row["effective_at"][14:16] for row in await everything(client, **span)]
    assert minutes == [f"{minute}" for minute in range(19, 9, -1)]
    page = (await client.get(URL, params={"limit": 5})).json()
    other = await client.get(URL, params={"limit": 5, "kind": "usage", "cursor": page["next_cursor"]})
    assert (other.status_code, other.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "params",
    [
        {"kind": "gift"},
        {"rental_id": "1; DROP TABLE transfers"},
        {"from": "yesterday"},
        {"limit": 201},
        {"limit": 0},
        {"sort": "amount"},
    ],
)
async def test_what_is_no_filter_is_refused(client_for, account, params):
    client = await client_for(account, "billing:read")
    answer = await client.get(URL, params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_csv_and_json_lines_and_json_agree(client_for, busy):
    client = await client_for(busy, "billing:read")
    pages = await everything(client, limit=200)
    lines = await client.get(URL, params={"limit": 1}, headers={"Accept": "application/jsonl"})
    assert lines.headers["content-type"].startswith("application/jsonl")
    assert [json.loads(line) for line in lines.text.split("\n")[:-1]] == pages
    table = await client.get(URL, headers={"Accept": "text/csv, */*;q=0.1"})
    assert table.headers["content-type"].startswith("text/csv")
    assert table.headers["content-disposition"] == 'attachment; filename="ledger.csv"'
    rows = list(csv.DictReader(io.StringIO(table.text, newline="")))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert rows == [_flat(row) for row in pages]


def _flat(row):
    usage = row.pop("usage") or {}
    row.pop("object")
    row["actor"], row["description"] = harmless(row["actor"]), harmless(row["description"])
    row |= {name: usage.get(name) for name in ("rate_per_hour", "from_second", "to_second", "base_second")}
    return {name: "" if row[name] is None else str(row[name]) for name in CSV_COLUMNS}


async def test_no_cell_is_a_formula(client_for, busy):
    client = await client_for(busy, "billing:read")
    table = await client.get(URL, headers={"Accept": "text/csv"})
    for row in csv.reader(io.StringIO(table.text, newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in row)


async def test_an_export_is_longer_than_one_read_and_obeys_filters(client_for, worker_db, new_account, at):
    account = await new_account()
    async with worker_db.begin_unscoped() as session:
        await ledger.post_many(session, [Movement(account, Kind.DEPOSIT, 1, str(n), at) for n in range(2_500)])
        await ledger.post(session, Movement(account, Kind.RESERVE, 1, "r", at))
    client = await client_for(account, "billing:read")
    answer = await client.get(URL, params={"kind": "deposit"}, headers={"Accept": "application/jsonl"})
    assert [json.loads(line)["seq"] for line in answer.text.splitlines()] == list(range(2_500, 0, -1))


async def test_a_browser_and_a_plain_client_get_json(client_for, busy):
    client = await client_for(busy, "billing:read")
    for accept in ("*/*", "application/json", "text/html,application/xhtml+xml,*/*;q=0.8", "image/png"):
        answer = await client.get(URL, headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/json"


async def test_one_movement_is_read_by_its_id_in_any_case(client_for, busy):
    client = await client_for(busy, "billing:read")
    [row] = (await client.get(URL, params={"limit": 1})).json()["data"]
    for name in (row["id"], row["id"].lower()):
        assert (await client.get(f"{URL}/{name}")).json() == row


async def test_a_strangers_movement_and_a_missing_one_are_the_same(client_for, busy, account):
    mine, theirs = await client_for(busy, "billing:read"), await client_for(account, "billing:read")
    [row] = (await mine.get(URL, params={"limit": 1})).json()["data"]
    answers = [await theirs.get(f"{URL}/{name}") for name in (row["id"], TransferId.new(), "led_x", "nothing")]
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.json()["detail"] for answer in answers} == {"There is no such resource."}
    assert (await theirs.get(URL)).json() == {"object": "list", "data": [], "has_more": False, "next_cursor": None}
    for accept in ("text/csv", "application/jsonl"):
        assert len((await theirs.get(URL, headers={"Accept": accept})).text.splitlines()) == (accept == "text/csv")


async def test_a_ledger_is_verified_on_request(client_for, busy, worker_db, at):
    async with worker_db.begin_unscoped() as session:
        await ledger.seal(session, account_id=busy, at=at)
    client = await client_for(busy, "billing:read")
    assert (await client.get(f"{URL}/verify")).json() == {
        "object": "ledger_verification",
        "ok": True,
        "rows": 61,
        "seals": 1,
        "first_bad_seq": None,
        "verified_at": "2026-03-01T12:00:00.000Z",
    }


@pytest.mark.parametrize("path", ["", "/verify", "/led_01JZZZZZZZZZZZZZZZZZZZZZZZ"])
async def test_reading_needs_the_scope(client_for, account, path):
    client = await client_for(account, "rentals:read")
    answer = await client.get(URL + path)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
