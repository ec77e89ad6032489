"""References: what a movement belongs to, told with it, found by it, and sealed with it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, datetime

import pytest

from app import ledger
from app.kit.db import driver
from app.kit.ids import DisputeId, LotId, PaymentId, RefundId, RentalId, TopupId
from app.ledger import Kind, Movement

URL = "/v1/billing/ledger"
NAMES = {
    PaymentId: "payment_id",
    RefundId: "refund_id",
    DisputeId: "dispute_id",
    TopupId: "topup_id",
    LotId: "lot_id",
}


async def test_a_movement_tells_what_it_belongs_to_by_kind(client_for, worker_db, account, at):
    references = [kind.new() for kind in NAMES]
    rental = RentalId.new()
    async with worker_db.begin_unscoped() as session:
        for n, reference in enumerate(references):
            await ledger.post(session, Movement(account, Kind.DEPOSIT, 10, str(n), at, reference=reference))
        await ledger.post_many(
            session,
            [
                Movement(account, Kind.RESERVE, 2, "r", at, rental_id=rental),
                Movement(account, Kind.CLAWBACK, 1, "c", at, reference="of another system"),
                Movement(account, Kind.RELEASE, 2, "l", at, rental_id=rental, reference=references[-1]),
            ],
        )
    client = await client_for(account, "billing:read")
    rows = (await client.get(URL)).json()["data"][::-1]
    nothing = dict.fromkeys(["rental_id", *NAMES.values()])
    told = [nothing | {name: reference} for name, reference in zip(NAMES.values(), references, strict=True)]
    both = nothing | {"rental_id": rental, "lot_id": references[-1]}
    assert [row["refs"] for row in rows] == [*told, nothing | {"rental_id": rental}, nothing, both]
    assert [row["reference"] for row in rows] == [*references, None, "of another system", references[-1]]
    lines = (await client.get(URL, headers={"Accept": "application/jsonl"})).text.splitlines()
    assert [json.loads(line) for line in lines][::-1] == rows
    table = (await client.get(URL, headers={"Accept": "text/csv"})).text
    assert [row["reference"] or None for row in csv.DictReader(io.StringIO(table, newline=""))][::-1] == [
        row["reference"] for row in rows
    ]
    one = (await client.get(f"{URL}/{rows[0]['id']}")).json()
    assert one == rows[0]


async def test_what_was_posted_for_something_is_found_in_its_order(worker_db, new_account, at):
    account, other, payment = await new_account(), await new_account(), PaymentId.new()
    async with worker_db.begin_unscoped() as session:
        for who, kind, amount, reference in (
            (account, Kind.DEPOSIT, 10, payment),
            (account, Kind.CLAWBACK, 4, payment),
            (account, Kind.CLAWBACK, 1, RefundId.new()),
            (other, Kind.DEPOSIT, 7, payment),
        ):
            await ledger.post(session, Movement(who, kind, amount, f"{kind}:{amount}", at, reference=reference))
        posted = await ledger.posted_for(session, account_id=account, reference=payment)
        assert posted == [(Kind.DEPOSIT, 10), (Kind.CLAWBACK, 4)]
        assert await ledger.posted_for(session, account_id=account, reference=PaymentId.new()) == []


async def test_a_debt_that_is_paid_names_the_payment_that_paid_it(worker_db, account, at):
    payment = PaymentId.new()
    async with worker_db.begin_unscoped() as session:
        await ledger.post(session, Movement(account, Kind.DEBT_INCURRED, 4, "d", at))
        await ledger.post_inflow(session, Movement(account, Kind.DEPOSIT, 10, "p", at, reference=payment))
        posted = await ledger.posted_for(session, account_id=account, reference=payment)
    assert posted == [(Kind.DEBT_REPAID, 4), (Kind.DEPOSIT, 6)]


OLD_COLUMNS = (
    "account_id, seq, id, kind, debit, credit, amount, available_after, reserved_after, owed_after, effective_at, "
    "created_at, rental_id, actor, description, idempotency_key, rate, from_s, to_s"
)


async def test_what_was_sealed_before_there_were_references_still_verifies(worker_db, account, at):
    async with worker_db.begin_unscoped() as session:
        await ledger.post(session, Movement(account, Kind.DEPOSIT, 10, "p", at))
        row = await driver(session).fetchrow(
            f"SELECT {OLD_COLUMNS} FROM transfers WHERE account_id = $1",
            account,
        )
        values = [
            value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value
            for value in row
        ]
        link = hashlib.sha256(b"hourglass ledger " + account.encode()).digest()
        link = hashlib.sha256(link + json.dumps(values, separators=(",", ":")).encode()).digest()
        await driver(session).execute(
            "INSERT INTO ledger_seals (account_id, last_seq, hash, sealed_at) VALUES ($1, 1, $2, $3)", account, link, at
        )
        await ledger.post(session, Movement(account, Kind.DEPOSIT, 10, "q", at, reference=PaymentId.new()))
        await ledger.seal(session, account_id=account, at=at)
        assert await ledger.verify(session, account_id=account) == ledger.Verified(2, 2, ok=True, first_bad_seq=None)


async def test_a_restricted_wallet_reserves_nothing_new_and_takes_everything_else(worker_db, new_account, at):
    account = await new_account(micros=10)
    async with worker_db.begin_unscoped() as session:
        assert await ledger.restrict(session, account_id=account, at=at)
        assert not await ledger.restrict(session, account_id=account, at=at)
        with pytest.raises(ledger.RestrictedError):
            await ledger.post(session, Movement(account, Kind.RESERVE, 1, "r", at))
        assert (await ledger.lock_wallet(session, account)).renewable == 0
        await ledger.post(session, Movement(account, Kind.REFUND_HOLD, 1, "h", at))
        await ledger.post(session, Movement(account, Kind.REFUND_RELEASE, 1, "b", at))
        assert await ledger.unrestrict(session, account_id=account)
        assert not await ledger.unrestrict(session, account_id=account)
        await ledger.post(session, Movement(account, Kind.RESERVE, 1, "r", at))
        await ledger.post(session, Movement(account, Kind.RELEASE, 1, "l", at))
