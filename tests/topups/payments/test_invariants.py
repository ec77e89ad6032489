"""Each invariant of card money sees what breaks it."""

from __future__ import annotations

from contextlib import suppress

import pytest

from app.kit.db import driver
from app.kit.reconcile import Round, Runner
from app.topups.payments.auditing import auditing
from app.topups.payments.invariants import broken_for

SPOILT = {
    "payment.credit_is_not_in_the_ledger": "UPDATE payments SET credited = 24000000, amount = 24000000 WHERE account_id = $1",
    "payment.credited_without_success": "UPDATE payments SET status = 'processing' WHERE account_id = $1",
    "payment.refunded_is_not_its_refunds": "UPDATE payments SET refunded = refunded + 1 WHERE account_id = $1",
    "payment.disputed_is_not_its_disputes": "UPDATE payments SET disputed = disputed + 1 WHERE account_id = $1",
    "payment.takes_more_than_it_brought": "UPDATE refunds SET amount = 26000000 WHERE account_id = $1 AND status = 'held'",
    "refund.differs_from_the_ledger": "UPDATE refunds SET status = 'failed' WHERE account_id = $1 AND status = 'succeeded'",
    "refund.is_not_looked_at": "UPDATE refunds SET next_at = NULL WHERE account_id = $1",
    "dispute.differs_from_the_ledger": "UPDATE disputes SET withdrawn = 0 WHERE account_id = $1",
    "dispute.inquiry_that_moved_money": "UPDATE disputes SET phase = 'inquiry' WHERE account_id = $1",
    "dispute.open_without_a_restriction": "UPDATE wallets SET restricted_at = NULL WHERE account_id = $1",
}


class UndoneError(Exception):
    """Nothing of this is kept."""


@pytest.fixture
async def busy(till, account):
    """An account with a refund that is made, one that is held, and a dispute."""
    payment = await till.deposit(account)
    await till.refund(account, payment, 4)
    await till.ask(account, payment, 3)
    till.bank.dispute(payment.payment_intent_id, amount=500)
    await till.apply(payment.payment_intent_id)
    return account


async def spoil(db, account, statement):
    """Return what is found broken after a change behind the rooms' backs, which is undone."""
    found = []
    with suppress(UndoneError):
        async with db.begin_unscoped() as session:
            await driver(session).execute(statement, account)
            found += [one.name for one in await broken_for(session, [account])]
            raise UndoneError
    return found


async def test_the_worker_looks_at_every_bucket(till, busy, worker_db):
    outcomes = await Runner(auditing(worker_db)).run_once(Round(till.at, till.holding))
    assert outcomes["agrees"] > 0


@pytest.mark.parametrize("name", SPOILT)
async def test_it_is_seen(worker_db, busy, name):
    assert await spoil(worker_db, busy, "UPDATE payments SET checked_at = now() WHERE account_id = $1") == []
    assert name in await spoil(worker_db, busy, SPOILT[name])
