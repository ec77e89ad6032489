"""Statements over HTTP."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert

from app import wallet
from app.kit.ids import RentalId
from app.kit.money import cost, dollars
from app.ledger import Kind
from app.statements import Month
from app.statements.schemas import MonthOut, PaymentMade, RentalUsed, StatementOut
from app.topups.models import PaymentRow

from .reading import URL, as_csv, numbers_of, read_csv, read_pdf


async def test_a_statement_has_everything_that_is_described(client_for, busy):
    client = await client_for(busy.account, "billing:read")
    for month in ("2026-01", "2026-02"):
        told = (await client.get(f"{URL}/{month}")).json()
        assert set(told) == set(StatementOut.model_fields)
        for items, form in ((told["payments"], PaymentMade), (told["rentals"], RentalUsed)):
            assert items
            for item in items:
                assert set(item) == set(form.model_fields)
    listed = (await client.get(URL)).json()
    assert [month["month"] for month in listed["data"]] == ["2026-03", "2026-02", "2026-01"]
    assert [month["final"] for month in listed["data"]] == [False, True, True]
    for month in listed["data"]:
        assert set(month) == set(MonthOut.model_fields)


async def test_usage_belongs_to_the_month_it_was_used_in(client_for, busy):
    client = await client_for(busy.account, "billing:read")
    january = (await client.get(f"{URL}/2026-01")).json()
    february = (await client.get(f"{URL}/2026-02")).json()
    assert [used["seconds"] for used in january["rentals"]] == [1_800, 1_000]
    assert [(used["seconds"], used["charged"], used["refunded"]) for used in february["rentals"]] == [
        (0, "0.00", "0.14"),
        (77, dollars(cost(7_777_777, 1_077) - cost(7_777_777, 1_000)), "0.00"),
    ]
    assert february["rentals"][0]["net"] == "-0.14"
    assert [paid["credited"] for paid in january["payments"]] == ["50.00"]
    assert january["opening"]["total"] == "0.00"
    assert january["closing"] == february["opening"]


async def test_months_are_paged_newest_first(client_for, busy, clock):
    clock.at += timedelta(days=400)
    client = await client_for(busy.account, "billing:read")
    found, cursor = [], None
    while True:
        page = (await client.get(URL, params={"limit": 4} | ({"cursor": cursor} if cursor else {}))).json()
        found += [month["month"] for month in page["data"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert found == sorted(found, reverse=True)
    assert (found[0], found[-1], len(found)) == ("2027-04", "2026-01", 16)


@pytest.mark.parametrize("month", ["2025-12", "2026-04", "2999-12", "2026-13", "march", "2026-3", "%00"])
async def test_a_month_without_a_statement_is_not_found(client_for, busy, month):
    client = await client_for(busy.account, "billing:read")
    for form in ("json", "csv", "pdf"):
        answer = await client.get(f"{URL}/{month}", params={"format": form})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_an_account_without_movements_has_no_statements(client_for, account):
    client = await client_for(account, "billing:read")
    assert (await client.get(URL)).json()["data"] == []
    assert (await client.get(f"{URL}/2026-03")).status_code == 404


async def test_a_stranger_sees_nothing_of_it(client_for, busy, account):
    theirs = await client_for(account, "billing:read")
    assert (await theirs.get(f"{URL}/2026-01")).status_code == 404


@pytest.mark.parametrize(
    ("accept", "form", "media_type"),
    [
        ("*/*", None, "application/json"),
        ("application/json", None, "application/json"),
        ("text/csv", None, "text/csv; charset=utf-8"),
        ("application/pdf", None, "application/pdf"),
        ("application/PDF;q=0.9, */*;q=0.1", None, "application/pdf"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", None, "application/json"),
        ("image/png", None, "application/json"),
        ("application/json", "pdf", "application/pdf"),
        ("application/pdf", "csv", "text/csv; charset=utf-8"),
        ("text/csv", "json", "application/json"),
    ],
)
async def test_a_form_is_chosen_by_accept_or_by_name(client_for, busy, accept, form, media_type):
    client = await client_for(busy.account, "billing:read")
    params = {"format": form} if form else {}
    answer = await client.get(f"{URL}/2026-01", params=params, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.headers["vary"] == "Accept"
    if "json" not in media_type:
        ending = "csv" if "csv" in media_type else "pdf"
        assert answer.headers["content-disposition"] == f'attachment; filename="hourglass-2026-01.{ending}"'


async def test_another_form_is_refused(client_for, busy):
    client = await client_for(busy.account, "billing:read")
    for params in ({"format": "xml"}, {"format": ""}, {"rows": "all"}):
        answer = await client.get(f"{URL}/2026-01", params=params)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize("path", ["", "/2026-01"])
async def test_reading_needs_the_scope(client_for, busy, path):
    client = await client_for(busy.account, "rentals:read")
    answer = await client.get(URL + path)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_a_statement_is_final_when_what_ran_across_its_end_is_settled(
    client_for, worker_db, new_account, clock, at
):
    account = await new_account(micros=50_000_000)
    client = await client_for(account, "billing:read")
    march = Month.of(at)
    started, rate, rental = march.ends_at - timedelta(minutes=30), 2_800_000, RentalId.new()
    async with worker_db.begin_unscoped() as session:
        await wallet.hold(session, account_id=account, rental_id=rental, rate=rate, at=started, actor="test")
        await wallet.start(session, account_id=account, rental_id=rental, at=started)

    async def told(form="json"):
        answer = await client.get(f"{URL}/{march}", params={"format": form})
        return answer.json() if form == "json" else answer.content

    clock.at = started + timedelta(minutes=5)
    running = await told()
    assert (running["final"], running["as_of"]) == (False, "2026-03-31T23:35:00.000Z")
    clock.at = march.ends_at + timedelta(days=3)  # no worker ran meanwhile
    unsettled = await told()
    assert (unsettled["final"], unsettled["as_of"]) == (False, "2026-04-01T00:00:00.000Z")
    assert unsettled["rentals"] == []
    async with worker_db.begin_unscoped() as session:
        stopped = march.ends_at + timedelta(minutes=10)
        await wallet.close(session, account_id=account, rental_id=rental, at=clock.at, billable_until=stopped)
    final = await told()
    assert (final["final"], final["as_of"]) == (True, "2026-04-01T00:00:00.000Z")
    assert [used["charged"] for used in final["rentals"]] == [dollars(cost(rate, 1_800))]
    papers = {await told("pdf"), await told("pdf")}
    clock.at += timedelta(days=100)
    assert await told() == final
    assert papers == {await told("pdf")}


async def test_the_end_of_a_month_is_waited_for_a_little(client_for, busy, clock):
    client = await client_for(busy.account, "billing:read")
    for later, final in ((0, False), (599, False), (600, True)):
        clock.at = Month(2026, 2).ends_at + timedelta(seconds=later)
        assert (await client.get(f"{URL}/2026-02")).json()["final"] == final


async def test_a_paper_reads_like_the_json_and_numbers_its_pages(client_for, busy):
    client = await client_for(busy.account, "billing:read")
    told = (await client.get(f"{URL}/2026-01")).json()
    paper = await client.get(f"{URL}/2026-01", params={"format": "pdf"})
    words, pages = read_pdf(paper.content)
    text = " ".join(words)
    assert [number for number in numbers_of(told) if number not in words] == []
    for phrase in (
        "January 2026",
        "1 January 2026 to 31 January 2026",
        "Status Final",
        busy.account,
        "Opening balance",
    ):
        assert phrase in text
    assert f"Page 1 of {pages}" in text
    for used in told["rentals"]:
        assert used["rental_id"] in words
    assert "None" not in text


async def test_a_long_month_lists_every_rental_in_text_and_the_dearest_on_paper(client_for, money, at):
    await money.deposit(1_000_000_000, at)
    for n in range(530):
        rental = await money.begin(100_000, at)
        await money.use(rental, 36 + n, at)
        await money.end(rental, at)
    client = await client_for(money.account, "billing:read")
    told = (await client.get(f"{URL}/2026-03")).json()
    assert len(told["rentals"]) == 530
    assert read_csv((await client.get(f"{URL}/2026-03", params={"format": "csv"})).text) == as_csv(told)
    words, pages = read_pdf((await client.get(f"{URL}/2026-03", params={"format": "pdf"})).content)
    text = " ".join(words)
    assert pages > 5
    assert "30 others, none of which cost more" in text
    assert told["usage"]["charged"] in words
    assert sum(used["rental_id"] in words for used in told["rentals"]) == 500
    assert [used["rental_id"] in words for used in told["rentals"]][:30] == [False] * 30
    assert f"Page {pages} of {pages}" in text


async def test_a_payment_is_listed_with_its_card_and_receipt_in_every_form(client_for, worker_db, money, at):
    url = "https://pay.example.com/receipts/1"
    payment = await money.deposit(25_000_000, at)
    async with worker_db.begin_unscoped() as session:
        await session.execute(
            insert(PaymentRow).values(
                account_id=money.account,
                id=payment,
                bucket=0,
                payment_intent_id="pi_1",
                source="checkout",
                amount=27_125_000,
                tax=2_125_000,
                credited=25_000_000,
                refunded=0,
                disputed=0,
                status="succeeded",
                receipt_url=url,
                brand="visa",
                last4="4242",
                created_at=at,
                succeeded_at=at,
                checked_at=at,
            )
        )
    client = await client_for(money.account, "billing:read")
    told = (await client.get(f"{URL}/2026-03")).json()
    assert told["payments"] == [
        {
            "payment_id": payment,
            "at": "2026-03-01T12:00:00.000Z",
            "credited": "25.00",
            "charged": "27.125",
            "tax": "2.125",
            "brand": "visa",
            "last4": "4242",
            "receipt_url": url,
        }
    ]
    table = (await client.get(f"{URL}/2026-03", params={"format": "csv"})).text
    assert read_csv(table) == as_csv(told)
    assert url in table
    paper = (await client.get(f"{URL}/2026-03", params={"format": "pdf"})).content
    words, _ = read_pdf(paper)
    assert {payment, "27.125", "2.125", "25.00"} <= set(words)
    assert "Visa 4242" in " ".join(words)
    assert url.encode() in paper


async def test_a_payment_that_pays_a_debt_is_told_whole(client_for, money, at):
    await money.move(Kind.DEBT_INCURRED, 10_000_000, at)
    payment = await money.deposit(25_000_000, at)
    client = await client_for(money.account, "billing:read")
    told = (await client.get(f"{URL}/2026-03")).json()
    assert [(paid["payment_id"], paid["credited"]) for paid in told["payments"]] == [(payment, "25.00")]
    assert {line["kind"]: line["change"]["owed"] for line in told["movements"]} == {
        "debt_incurred": "10.00",
        "debt_repaid": "-10.00",
        "deposit": "0.00",
    }
    assert (told["closing"]["total"], told["closing"]["owed"]) == ("15.00", "0.00")
