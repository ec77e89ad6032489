"""Refunds and disputes: held, taken and given back once per cause; what is gone already is owed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app import ledger, lots, wallet
from app.kit.ids import DisputeId, PaymentId, RefundId, RentalId
from app.ledger import Kind, Movement
from app.lots import invariants
from app.wallet.schemas import Hold

DOLLAR = 1_000_000


class Bank:
    """One account's payments, refunds and disputes; each call is a transaction of its own."""

    def __init__(self, db, account, at):
        self.db, self.account, self.at = db, account, at

    async def _do(self, work, **terms):
        return await self.db.run(lambda s: work(s, account_id=self.account, at=self.at, **terms))

    async def deposit(self, dollars):
        payment = PaymentId.new()
        movement = Movement(self.account, Kind.DEPOSIT, dollars * DOLLAR, f"p:{payment}", self.at, reference=payment)
        await self.db.run(lambda s: wallet.receive(s, movement))
        return payment

    async def hold_refund(self, refund, payment, dollars):
        return await self._do(
            wallet.hold_refund, refund_id=refund, payment_id=payment, amount=dollars * DOLLAR, actor="user"
        )

    async def finish_refund(self, refund):
        return await self._do(wallet.finish_refund, refund_id=refund)

    async def release_refund(self, refund):
        return await self._do(wallet.release_refund, refund_id=refund)

    async def give_back(self, refund, dollars):
        return await self._do(wallet.give_back, reference=refund, amount=dollars * DOLLAR, reason="failed")

    async def claw_back(self, refund, payment, dollars, before=0):
        return await self._do(
            wallet.claw_back,
            reference=refund,
            payment_id=payment,
            amount=dollars * DOLLAR,
            before=before * DOLLAR,
            reason="refunded",
            actor="stripe",
        )

    async def dispute(self, payment, dollars, dispute=None):
        dispute = dispute or DisputeId.new()
        await self._do(wallet.hold_dispute, dispute_id=dispute, payment_id=payment, amount=dollars * DOLLAR)
        return dispute

    async def debit(self, dispute, dollars, before=0):
        return await self._do(wallet.debit_dispute, dispute_id=dispute, amount=dollars * DOLLAR, before=before * DOLLAR)

    async def reverse(self, dispute, dollars, before=0):
        return await self._do(
            wallet.reverse_dispute, dispute_id=dispute, amount=dollars * DOLLAR, before=before * DOLLAR
        )

    async def release(self, dispute):
        return await self._do(wallet.release_dispute, dispute_id=dispute)

    async def unspent(self, payment):
        return (await self.db.run(lambda s: lots.unspent(s, account_id=self.account, reference=payment))) // DOLLAR

    async def posted(self, reference):
        rows = await self.db.run(lambda s: ledger.posted_for(s, account_id=self.account, reference=reference))
        return [(kind.value, amount // DOLLAR) for kind, amount in rows]

    async def stands(self):
        """Return available, reserved and owed in dollars."""
        balance = await self.db.run(lambda s: wallet.get_balance(s, account_id=self.account, at=self.at))
        return balance.available // DOLLAR, balance.reserved // DOLLAR, balance.owed // DOLLAR

    async def spend(self, dollars):
        """Run something for an hour at so many dollars."""
        rental = await self.hold(dollars)
        start = {"account_id": self.account, "rental_id": rental}
        await self.db.run(lambda s: wallet.start(s, at=self.at, **start))
        over = self.at + timedelta(hours=1)
        await self.db.run(lambda s: wallet.close(s, at=over, billable_until=over, **start))

    async def hold(self, dollars):
        rental = RentalId.new()
        await self._do(wallet.hold, rental_id=rental, rate=dollars * DOLLAR, actor="user")
        return rental


@pytest.fixture
async def bank(worker_db, account, at):
    yield Bank(worker_db, account, at)
    async with worker_db.begin_unscoped() as session:
        await lots.advance(session, account)
        assert await invariants.broken_for(session, [account]) == []


async def test_a_refund_is_held_then_leaves(bank):
    payment, refund = await bank.deposit(10), RefundId.new()
    assert await bank.hold_refund(refund, payment, 4) == 4 * DOLLAR
    assert await bank.stands() == (6, 4, 0)
    assert await bank.unspent(payment) == 6
    assert await bank.finish_refund(refund) == 4 * DOLLAR
    assert await bank.stands() == (6, 0, 0)
    assert await bank.posted(refund) == [("refund_hold", 4), ("refund", 4)]


async def test_every_step_of_a_refund_moves_once(bank):
    payment, refund = await bank.deposit(10), RefundId.new()
    for _ in range(2):
        await bank.hold_refund(refund, payment, 4)
    with pytest.raises(ledger.KeyReusedError):
        await bank.hold_refund(refund, payment, 5)
    assert [await bank.finish_refund(refund) for _ in range(2)] == [4 * DOLLAR, 0]
    assert await bank.release_refund(refund) == 0
    assert [await bank.give_back(refund, 4) for _ in range(2)] == [True, False]
    assert await bank.stands() == (10, 0, 0)
    assert await bank.unspent(payment) == 10


async def test_a_refund_is_of_what_is_left_of_its_payment_and_available(bank):
    first, second = await bank.deposit(5), await bank.deposit(5)
    await bank.spend(4)
    with pytest.raises(wallet.InsufficientBalance) as short:
        await bank.hold_refund(RefundId.new(), first, 2)
    assert short.value.extra == {"required": "2.00", "available": "1.00", "shortfall": "1.00"}
    await bank.hold(5)
    with pytest.raises(wallet.InsufficientBalance):
        await bank.hold_refund(RefundId.new(), second, 5)
    assert await bank.hold_refund(RefundId.new(), second, 1) == DOLLAR
    assert await bank.stands() == (0, 6, 0)


async def test_two_refunds_at_once_never_take_more_than_there_is(bank):
    payment = await bank.deposit(10)
    asked = await asyncio.gather(
        *(bank.hold_refund(RefundId.new(), payment, 4) for _ in range(5)), return_exceptions=True
    )
    assert sum(answer == 4 * DOLLAR for answer in asked) == 2
    assert await bank.stands() == (2, 8, 0)


async def test_a_refund_that_fails_at_once_comes_back_debt_first(bank):
    payment, other, refund = await bank.deposit(10), await bank.deposit(2), RefundId.new()
    await bank.hold_refund(refund, payment, 10)
    await bank.claw_back(RefundId.new(), other, 5)
    assert await bank.stands() == (0, 10, 3)
    assert await bank.release_refund(refund) == 10 * DOLLAR
    assert await bank.stands() == (7, 0, 0)
    assert await bank.posted(refund) == [("refund_hold", 10), ("debt_repaid", 3), ("refund_release", 7)]
    assert await bank.unspent(payment) == 7


async def test_a_refund_made_elsewhere_may_come_in_parts(bank):
    payment, refund = await bank.deposit(10), RefundId.new()
    assert [await bank.claw_back(refund, payment, 3) for _ in range(2)] == [True, False]
    assert [await bank.claw_back(refund, payment, 2, before=3) for _ in range(2)] == [True, False]
    assert await bank.stands() == (5, 0, 0)
    assert await bank.posted(refund) == [("clawback", 3), ("clawback", 2)]


async def test_a_dispute_holds_what_there_is_and_nothing_new_is_reserved(bank):
    payment = await bank.deposit(10)
    await bank.spend(4)
    dispute = await bank.dispute(payment, 10)
    assert await bank.stands() == (0, 6, 0)
    await bank.deposit(5)
    with pytest.raises(wallet.WalletRestricted) as refused:
        await bank.hold(1)
    assert (refused.value.status, refused.value.code) == (423, "locked")
    assert await bank.release(dispute) == 6 * DOLLAR
    await bank.hold(1)
    assert await bank.stands() == (10, 1, 0)


async def test_a_lost_dispute_takes_what_is_held_and_the_rest_is_owed(bank):
    payment = await bank.deposit(10)
    await bank.spend(4)
    dispute = await bank.dispute(payment, 10)
    assert [await bank.debit(dispute, 10) for _ in range(2)] == [10 * DOLLAR, 0]
    assert await bank.stands() == (0, 0, 4)
    assert await bank.posted(dispute) == [("dispute_hold", 6), ("dispute_debit", 6), ("debt_incurred", 4)]
    assert await bank.release(dispute) == 0
    await bank.deposit(5)
    await bank.hold(1)
    assert await bank.stands() == (0, 1, 0)


async def test_a_won_dispute_comes_back_debt_first(bank):
    payment = await bank.deposit(10)
    await bank.spend(4)
    dispute = await bank.dispute(payment, 10)
    await bank.debit(dispute, 10)
    assert [await bank.reverse(dispute, 10) for _ in range(2)] == [10 * DOLLAR, 0]
    await bank.release(dispute)
    assert await bank.stands() == (6, 0, 0)
    assert (await bank.posted(dispute))[3:] == [("debt_repaid", 4), ("dispute_reversal", 6)]
    assert await bank.unspent(payment) == 6


async def test_a_dispute_may_be_debited_in_parts_but_never_come_back_for_more(bank):
    payment = await bank.deposit(10)
    dispute = await bank.dispute(payment, 10)
    await bank.debit(dispute, 4)
    await bank.debit(dispute, 6, before=4)
    assert await bank.debit(dispute, 6, before=4) == 0
    with pytest.raises(ValueError, match="debited"):
        await bank.reverse(dispute, 11)
    with pytest.raises(ValueError, match="posted before"):
        await bank.debit(dispute, 6, before=5)
    await bank.reverse(dispute, 10)
    await bank.release(dispute)
    assert await bank.stands() == (10, 0, 0)


async def test_a_dispute_that_was_never_held_for_is_not_debited(bank):
    with pytest.raises(LookupError):
        await bank.debit(DisputeId.new(), 1)


async def test_of_two_disputes_the_last_to_end_ends_the_restriction(bank):
    first, second = await bank.deposit(5), await bank.deposit(5)
    one, two = await bank.dispute(first, 5), await bank.dispute(second, 5)
    await bank.dispute(first, 5, dispute=one)
    assert await bank.stands() == (0, 10, 0)
    await bank.release(one)
    with pytest.raises(wallet.WalletRestricted):
        await bank.hold(1)
    await bank.release(two)
    await bank.hold(1)


async def test_running_rentals_keep_their_hour_and_are_renewed_when_the_dispute_ends(
    bank, run_rental, settle_at, view, account, at
):
    payment = await bank.deposit(10)
    rental = await run_rental(account, rate=2 * DOLLAR)
    dispute = await bank.dispute(payment, 3)
    await settle_at(account, rental, at=at + timedelta(minutes=30))
    held = await view(account, rental)
    assert (held.meter.held, held.meter.ends_because) == (DOLLAR, "wallet_empty")
    bank.at = at + timedelta(minutes=31)
    await bank.release(dispute)
    held = await view(account, rental)
    assert (held.meter.held, held.meter.ends_at) == (2 * DOLLAR, None)
    await bank.deposit(1)


async def test_what_is_held_is_shown_by_kind(bank, client_for, account, worker_db):
    payment, refund = await bank.deposit(10), RefundId.new()
    rental = await bank.hold(2)
    await bank.hold_refund(refund, payment, 3)
    dispute = await bank.dispute(payment, 4)
    client = await client_for(account, "billing:read")
    found, cursor = [], None
    while cursor is not None or not found:
        page = await client.get("/v1/wallet/holds", params={"limit": 1} | ({"cursor": cursor} if cursor else {}))
        found += page.json()["data"]
        cursor = page.json()["next_cursor"]
    assert all(set(hold) == set(Hold.model_fields) for hold in found)
    told = [(h["kind"], h["state"], h["held"], h["rental_id"] or h["refund_id"] or h["dispute_id"]) for h in found]
    assert told == [
        ("refund", "open", "3.00", refund),
        ("rental", "waiting", "2.00", rental),
        ("dispute", "open", "4.00", dispute),
    ]
    assert [hold["payment_id"] for hold in found] == [payment, None, payment]
    assert (await client.get("/v1/wallet")).json()["restricted"] is True
