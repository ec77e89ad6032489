"""The outbox: a mail stands with its cause, once."""

from __future__ import annotations

import json

import pytest

from app import mail, tenancy
from app.kit.db import driver

DEPOSIT = {"amount": "25.00", "available": "30.00", "last4": "4242"}


async def kept(worker_db, account):
    async with worker_db.begin_unscoped() as session:
        return await driver(session).fetch(
            "SELECT to_address, template, data::text AS data, state, dedupe_key FROM mails WHERE account_id = $1 ORDER BY to_address, id",
            account,
        )


@pytest.fixture
def write(at):
    async def writing(session, account, *, to=("ada@example.com",), template="deposit_received", data=DEPOSIT, key="k"):
        return await mail.write(session, account_id=account, to=to, template=template, data=data, key=key, at=at)

    return writing


@pytest.mark.parametrize("role", ["api", "worker"])
async def test_a_mail_is_written_once_per_cause_and_address_by_both_roles(api_db, worker_db, account, role, write):
    opened = (lambda: api_db.begin(account)) if role == "api" else worker_db.begin_unscoped
    async with opened() as session:
        assert await write(session, account, to=["a@example.com", "b@example.com", "a@example.com"]) == 2
    async with opened() as session:
        assert await write(session, account, to=["a@example.com", "c@example.com"]) == 1
        assert await write(session, account, to=["a@example.com"], key="another cause") == 1
    rows = await kept(worker_db, account)
    assert [row["to_address"][0] for row in rows] == ["a", "a", "b", "c"]
    assert {row["state"] for row in rows} == {"queued"}
    assert json.loads(rows[0]["data"]) == DEPOSIT


async def test_a_mail_goes_with_its_cause(worker_db, account, write):
    async def paying():
        async with worker_db.begin_unscoped() as session:
            await write(session, account)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await paying()
    assert await kept(worker_db, account) == []


async def test_what_a_mail_must_tell_is_asked_for_at_once(worker_db, account, write):
    async with worker_db.begin_unscoped() as session:
        with pytest.raises(ValueError, match=r"deposit_received must be told amount, available"):
            await write(session, account, data={"amount": None})
        with pytest.raises(ValueError, match="no such mail"):
            await write(session, account, template="spam")
        assert await write(session, account, to=[]) == 0


async def test_a_text_that_no_database_takes_does_not_undo_a_payment(worker_db, account, write):
    async with worker_db.begin_unscoped() as session:
        await write(session, account, to=["a\x00@example.com"], data=DEPOSIT | {"last4": ["\x00\ud800"]})
    [row] = await kept(worker_db, account)
    assert row["to_address"] == "a�@example.com"
    assert json.loads(row["data"])["last4"] == ["��"]


async def test_the_api_reads_no_mail(api_db, account):
    async with api_db.begin(account) as session:
        assert not await driver(session).fetchval("SELECT has_table_privilege('mails', 'SELECT')")


async def test_bills_go_to_the_users_of_the_account_alone(worker_db, api_db, new_account):
    account, stranger = await new_account(), await new_account()
    async with worker_db.begin_unscoped() as session:
        [mine] = await tenancy.billing_addresses(session, account_id=account)
        assert mine.endswith("@example.com")
    async with api_db.begin(account) as session:
        assert await tenancy.billing_addresses(session, account_id=account) == [mine]
        assert await tenancy.billing_addresses(session, account_id=stranger) == []
