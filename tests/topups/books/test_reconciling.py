"""The daily comparison with Stripe, both ways, and the month's liability."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, timedelta

import pytest

from app import ledger, wallet
from app.kit.db import driver
from app.kit.ids import PaymentId
from app.kit.leases import Holding
from app.kit.reconcile import Round, Runner
from app.ledger import Kind, Movement
from app.sandbox.faults import Fault
from app.topups.books.comparing import What
from app.topups.books.reconciliations import CATCH_UP_DAYS, compare_day, compare_month
from app.topups.events.reconcilers import looking, reconciling
from app.topups.gateway.errors import StripeUnavailable
from tests.topups.events.worlds import CENT, NOW

DAY = NOW.date()


async def told(world):
    """Everything that Stripe has to tell, told and handled."""
    await world.tell(*world.events())
    await world.handle()


async def compared(world, day=DAY):
    world.clock.move(days=1)
    return await compare_day(world.tools, day, at=world.clock.now())


async def a_history(world):
    """Payments with what can become of them; returns account and payments."""
    account = await world.account()
    payments = [await world.paid(account, cents) for cents in (2500, 1000, 5000, 4000)]
    world.stripe.refund(payments[0], 700)
    world.stripe.refund(payments[1])
    dispute = world.stripe.dispute(payments[2])
    world.stripe.close_dispute(dispute["id"], won=True)
    lost = world.stripe.dispute(payments[3])
    world.stripe.close_dispute(lost["id"], won=False)
    return account, payments


async def test_a_day_of_which_everything_was_told_agrees(world):
    account, _ = await a_history(world)
    await told(world)
    report = await compared(world)
    assert report.ok
    assert report.differences == ()
    assert report.checked == Counter({What.PAYMENT: 4, What.REFUND: 2, What.DISPUTE: 2})
    assert await world.money(account) == ((2500 - 700 + 5000) * CENT, 0, 0)


async def test_a_day_of_which_nothing_was_told_is_mended(world):
    account, _ = await a_history(world)
    report = await compared(world)
    assert report.ok
    assert {found.mended for found in report.differences} == {True}
    assert await world.money(account) == ((2500 - 700 + 5000) * CENT, 0, 0)
    rows = await world.ledger(account)
    assert (await compared(world, DAY)).differences == ()
    assert await world.ledger(account) == rows


async def test_a_refund_of_an_old_payment_is_found_by_its_own_day(world):
    account = await world.account()
    payment = await world.paid(account, 2500)
    await told(world)
    world.clock.move(days=20)
    world.stripe.refund(payment, 500)
    report = await compared(world, world.clock.now().date())
    assert [(found.line.what, found.line.theirs) for found in report.differences] == [(What.REFUND, -500 * CENT)]
    assert await world.money(account) == (2000 * CENT, 0, 0)


async def test_money_that_stripe_never_had_is_reported_and_left_alone(world):
    account = await world.account()
    payment = await world.paid(account, 2500)
    await told(world)
    async with world.tools.db.begin_unscoped() as session:
        # A payment on record whose money was posted twice over, as no code of ours does.
        row = await driver(session).fetchrow("SELECT id FROM payments WHERE account_id = $1", account)
        await wallet.receive(
            session,
            Movement(
                account, Kind.DEPOSIT, 100 * CENT, "by hand", world.clock.now(),
                actor="test", description="by hand", reference=row["id"],
            ),
        )  # fmt: skip
    report = await compared(world)
    assert not report.ok
    [found] = report.differences
    assert (found.line.stripe_id, found.line.ours, found.line.theirs) == (payment, 2600 * CENT, 2500 * CENT)
    assert not found.mended
    assert await world.money(account) == (2600 * CENT, 0, 0)


async def test_a_posting_without_a_record_is_reported(world):
    account = await world.account()
    reference = PaymentId.new()
    async with world.tools.db.begin_unscoped() as session:
        await wallet.receive(
            session,
            Movement(
                account, Kind.DEPOSIT, 100 * CENT, "by hand", world.clock.now(),
                actor="test", description="by hand", reference=reference,
            ),
        )  # fmt: skip
    report = await compared(world)
    assert not report.ok
    assert report.dangling == ((account, reference),)


async def test_a_payment_on_record_that_stripe_does_not_know_is_reported(world):
    account = await world.account()
    payment = await world.paid(account, 2500)
    await told(world)
    books = world.stripe.books
    books.store.remove(books.need("payment_intent", payment))
    report = await compared(world)
    assert [(found.line.ours, found.line.theirs, found.mended) for found in report.differences] == [
        (2500 * CENT, 0, False)
    ]


async def test_payments_of_others_on_the_same_stripe_account_are_counted_only(world):
    account = await world.account()
    row = await world.checkout(account, 2500)
    books = world.stripe.books
    await world.stripe.pay(row.session_id)
    intent = next(iter(books.store.all("payment_intent")))
    intent["metadata"]["deployment"] = "another"
    report = await compared(world)
    assert (report.ok, report.foreign, report.checked) == (True, 1, Counter())
    assert await world.ledger(account) == []
    assert report.balance.categories["charge"].ours == 0


async def test_stripes_balance_is_told_by_category(world):
    await a_history(world)
    await told(world)
    categories = (await compared(world)).balance.categories
    assert {name: (found.count, found.amount) for name, found in categories.items()} == {
        "charge": (4, 12_500 * CENT),
        "refund": (2, -1700 * CENT),
        "dispute": (2, -9000 * CENT),
        "dispute_reversal": (1, 5000 * CENT),
    }
    assert all(found.ours == found.amount for found in categories.values())
    assert categories["dispute"].fee > 0
    assert all(found.net == found.amount - found.fee for found in categories.values())


async def test_a_balance_that_moved_otherwise_than_its_object_says_is_reported(world):
    account = await world.account()
    await world.paid(account, 2500)
    await told(world)
    moved = next(iter(world.stripe.books.store.all("balance_transaction")))
    moved["amount"] += 1
    report = await compared(world)
    assert not report.ok
    assert [one.source_id for one in report.balance.differences] == [moved["source"]]


async def test_half_an_answer_concludes_nothing(world):
    await a_history(world)
    world.sandbox.faults.add(Fault("server_error", "stripe.list_balance_transactions", times=None, provider="stripe"))
    with pytest.raises(StripeUnavailable):
        await compared(world)
    async with world.tools.db.begin_unscoped() as session:
        assert await driver(session).fetchval("SELECT count(*) FROM reconciliations") == 0


async def test_every_day_that_is_over_is_compared_once_and_missed_days_are_made_up_for(world):
    await a_history(world)
    await told(world)
    runner = Runner(reconciling(world.tools))
    assert await runner.run_once(Round(world.clock.now(), Holding("nobody", {}))) == Counter()
    assert await runner.run_once(world.round) == Counter({"day_agrees": 1, "month_agrees": 1})
    assert await runner.run_once(world.round) == Counter()
    world.clock.move(days=CATCH_UP_DAYS - 1)
    assert await runner.run_once(world.round) == Counter({"day_agrees": CATCH_UP_DAYS - 1})
    assert await runner.run_once(world.round) == Counter()
    async with world.tools.db.begin_unscoped() as session:
        rows = await driver(session).fetch("SELECT id, ok, report::text FROM reconciliations ORDER BY id")
    assert [row["id"] for row in rows] == [
        f"day:{DAY + timedelta(days=back)}" for back in range(-1, CATCH_UP_DAYS - 1)
    ] + ["month:2026-02"]
    assert json.loads(rows[1]["report"])["checked"] == {"payment": 4, "refund": 2, "dispute": 2}


async def test_a_month_rolls_forward_from_the_one_before(world):
    account, _ = await a_history(world)
    await told(world)
    world.clock.move(days=31)
    at, db = world.clock.now(), world.tools.db
    february = await compare_month(db, date(2026, 2, 1), at=at)
    march = await compare_month(db, date(2026, 3, 1), at=at)
    assert february["closing"] == march["opening"] == march["previous_closing"] == "0.00"
    assert march["closing"] == "68.00"
    assert march["flows"]["deposit"] == "125.00"
    assert march["ok"]
    available, _, _ = await world.money(account)
    assert available == 68_000_000


async def test_a_movement_dated_back_into_a_closed_month_shows(world):
    account = await world.account()
    db = world.tools.db
    await compare_month(db, date(2026, 2, 1), at=world.clock.now())
    async with db.begin_unscoped() as session:
        await ledger.post_inflow(
            session,
            Movement(account, Kind.DEPOSIT, 5, "late", NOW - timedelta(days=20), actor="test", description="late"),
        )
    assert not (await compare_month(db, date(2026, 3, 1), at=world.clock.now()))["ok"]


async def test_a_visit_that_nobody_asks_about_is_looked_at(world):
    account = await world.account()
    await world.paid(account, 2500)
    runner = Runner(looking(world.tools))
    assert await runner.run_once(world.round) == Counter()
    world.clock.move(minutes=3)
    assert await runner.run_once(world.round) == Counter({"complete": 1})
    assert await world.ledger(account) == [("deposit", 2500 * CENT, "pay")]
    world.clock.move(days=2)
    assert await runner.run_once(world.round) == Counter()
