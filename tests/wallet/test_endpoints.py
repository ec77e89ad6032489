"""The wallet over HTTP."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app import wallet
from app.kit.money import cost, dollars
from app.wallet.schemas import Hold, Usage, Wallet

RATE = 2_800_000


async def test_the_wallet_tells_every_figure_to_the_second(client_for, clock, new_account, run_rental, at):
    account = await new_account(micros=10_000_000)
    await run_rental(account)
    clock.at = at + timedelta(seconds=90)
    client = await client_for(account, "billing:read")
    answer = await client.get("/v1/wallet")
    assert answer.json() == {
        "object": "wallet",
        "available": "7.20",
        "reserved": "2.80",
        "total": "10.00",
        "accrued": "0.07",
        "burn_per_hour": "2.80",
        "runway_seconds": 12_767,
        "incoming": "0.00",
        "owed": "0.00",
        "running": 1,
        "frozen": False,
        "restricted": False,
        "alert_below": None,
        "as_of": "2026-03-01T12:01:30.000Z",
    }
    assert set(answer.json()) == set(Wallet.model_fields)


async def test_an_idle_wallet_has_no_runway(client_for, account):
    client = await client_for(account, "billing:read")
    wallet_ = (await client.get("/v1/wallet")).json()
    assert (wallet_["available"], wallet_["runway_seconds"]) == ("0.00", None)


async def test_the_warning_level_is_set_and_dropped_by_who_read_it_last(client_for, new_account):
    account = await new_account(micros=10_000_000)
    client = await client_for(account, "billing:read", "billing:write")
    first = (await client.get("/v1/wallet")).headers["etag"]
    answer = await client.patch("/v1/wallet", json={"alert_below": "5.00"}, headers={"If-Match": first})
    assert (answer.status_code, answer.json()["alert_below"]) == (200, "5.00")
    late = await client.patch("/v1/wallet", json={"alert_below": 3}, headers={"If-Match": first})
    assert (late.status_code, late.json()["code"]) == (412, "etag_mismatch")
    assert late.headers["etag"] == answer.headers["etag"] == (await client.get("/v1/wallet")).headers["etag"]
    dropped = await client.patch("/v1/wallet", json={"alert_below": None})
    assert dropped.json()["alert_below"] is None
    assert dropped.headers["etag"] == first


@pytest.mark.parametrize(
    "body", [{}, {"alert_below": "-1"}, {"alert_below": "0"}, {"available": "9"}, {"alert_below": 1e-9}]
)
async def test_what_can_not_be_changed_is_refused(client_for, account, body):
    client = await client_for(account, "billing:write")
    answer = await client.patch("/v1/wallet", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_scopes_part_readers_from_writers(client_for, account):
    reader, writer = await client_for(account, "billing:read"), await client_for(account, "billing:write")
    assert (await reader.patch("/v1/wallet", json={"alert_below": None})).json()["code"] == "scope_missing"
    for path in ("/v1/wallet", "/v1/wallet/holds", "/v1/billing/usage"):
        assert (await writer.get(path)).json()["code"] == "scope_missing"


async def test_holds_are_listed_newest_first_and_closed_ones_are_not(
    client_for, clock, new_account, run_rental, close_at, at
):
    account = await new_account(micros=10_000_000)
    rentals = [await run_rental(account, rate=1_000_000) for _ in range(5)]
    await close_at(account, rentals.pop(), at=at)
    clock.at = at + timedelta(seconds=36)
    client = await client_for(account, "billing:read")
    found, cursor = [], None
    while True:
        page = (
            await client.get("/v1/wallet/holds", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
        ).json()
        found += page["data"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert [hold["rental_id"] for hold in found] == sorted(rentals, reverse=True)
    assert set(found[0]) == set(Hold.model_fields)
    told = {
        name: found[0][name] for name in ("state", "held", "remaining", "accrued", "charged", "funded_until", "ends_at")
    }
    assert told == {
        "state": "running",
        "held": "1.00",
        "remaining": "0.99",
        "accrued": "0.01",
        "charged": "0.00",
        "funded_until": "2026-03-01T13:00:00.000Z",
        "ends_at": None,
    }


async def test_usage_by_day_and_by_rental_are_sums_of_the_same_rows(
    client_for, worker_db, new_account, run_rental, settle_at, close_at, at
):
    account = await new_account(micros=200_000_000)
    rentals = [await run_rental(account), await run_rental(account, rate=1_234_567)]
    for hours in range(1, 30):
        await settle_at(account, *rentals, at=at + timedelta(hours=hours))
    for rental in rentals:
        await close_at(account, rental, at=at + timedelta(hours=29, seconds=1))
    async with worker_db.begin_unscoped() as session:
        await wallet.refund_host_fault(
            session, account_id=account, rental_id=rentals[0], at=at + timedelta(hours=30), reason="host fault"
        )
    client = await client_for(account, "billing:read")

    async def usage(**params):
        page = (await client.get("/v1/billing/usage", params=params)).json()
        assert all(set(row) == set(Usage.model_fields) for row in page["data"])
        return page

    seconds = 29 * 3600 + 1
    bills = [cost(RATE, seconds), cost(1_234_567, seconds)]
    by_rental = (await usage(group_by="rental"))["data"]
    assert {row["rental_id"]: (row["seconds"], row["charged"]) for row in by_rental} == {
        rental: (seconds, dollars(bill)) for rental, bill in zip(rentals, bills, strict=True)
    }
    assert {row["rental_id"]: row["total"] for row in by_rental}[rentals[0]] == "0.00"
    by_day = (await usage())["data"]
    assert [row["day"] for row in by_day] == ["2026-03-02", "2026-03-01"]
    assert by_day[1]["charged"] == dollars(cost(RATE, 11 * 3600) + cost(1_234_567, 11 * 3600))
    assert by_day[0]["refunded"] == dollars(bills[0])
    first = await usage(limit=1)
    second = await usage(limit=1, cursor=first["next_cursor"])
    assert first["data"] + second["data"] == by_day
    assert second["next_cursor"] is None
    span = {"from": "2026-03-01T13:00:00Z", "to": "2026-03-01T15:00:00Z"}
    [row] = (await usage(**span))["data"]
    assert row["seconds"] == 2 * 2 * 3600


async def test_another_accounts_wallet_is_out_of_sight(client_for, new_account, run_rental, account):
    other = await new_account(micros=10_000_000)
    await run_rental(other)
    client = await client_for(account, "billing:read")
    assert (await client.get("/v1/wallet")).json()["total"] == "0.00"
    for path in ("/v1/wallet/holds", "/v1/billing/usage?group_by=rental"):
        assert (await client.get(path)).json()["data"] == []
