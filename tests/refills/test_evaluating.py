"""When a wallet asks its card: in the transaction of each decrease, once, and never beyond the cap."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from app import ledger, refills, wallet
from app.kit.ids import RentalId
from app.kit.leases import bucket_of
from app.refills import Mode, Reason, State, Trigger

DOLLAR = 1_000_000
MINUTE = timedelta(minutes=1)


async def test_a_hold_that_falls_below_the_threshold_asks_in_its_own_transaction(
    new_account, set_rule, hold, attempts_of, told
):
    account = await new_account(micros=15 * DOLLAR)
    await set_rule(account)
    await hold(account, 4 * DOLLAR)
    assert await attempts_of(account) == []
    await hold(account, 4 * DOLLAR)
    [attempt] = await attempts_of(account)
    assert (attempt.amount, attempt.state, attempt.trigger) == (25 * DOLLAR, "created", "decrease")
    [created] = [data for kind, data in await told(account) if kind == "auto_topup.created"]
    assert (created["amount"], created["available"], created["threshold"]) == ("25.00", "7.00", "10.00")


async def test_exactly_the_threshold_asks_nothing(new_account, set_rule, hold, attempts_of):
    account = await new_account(micros=15 * DOLLAR)
    await set_rule(account)
    await hold(account, 5 * DOLLAR)
    assert await attempts_of(account) == []


async def test_a_decrease_that_is_rolled_back_asks_nothing(worker_db, new_account, set_rule, attempts_of, at):
    account = await new_account(micros=15 * DOLLAR)
    await set_rule(account)
    with suppress(LookupError):
        async with worker_db.begin_unscoped() as session:
            await wallet.hold(
                session, account_id=account, rental_id=RentalId.new(), rate=8 * DOLLAR, at=at, actor="test"
            )
            raise LookupError
    assert await attempts_of(account) == []


async def test_the_renewal_of_a_settlement_asks(worker_db, new_account, set_rule, hold, attempts_of, at):
    account = await new_account(micros=14 * DOLLAR)
    await set_rule(account)
    rental = await hold(account, 3 * DOLLAR)
    async with worker_db.begin_unscoped() as session:
        await wallet.start(session, account_id=account, rental_id=rental, at=at)
    assert await attempts_of(account) == []
    async with worker_db.begin_unscoped() as session:
        due = [wallet.Due(account, rental, bucket_of(account))]
        await wallet.settle(session, due, at=at + 50 * MINUTE)
    [attempt] = await attempts_of(account)
    assert attempt.state == "created"


async def test_an_idle_wallet_is_not_charged_unless_that_was_asked_for(
    new_account, set_rule, attempts_of, refill, worker_db, at
):
    idle, eager = await new_account(micros=2 * DOLLAR), await new_account(micros=2 * DOLLAR)
    await set_rule(idle)
    await set_rule(eager, only_while_running=False)
    assert [verdict.because for verdict in await refill(idle)] == ["nothing_running"]
    assert [verdict.amount for verdict in await refill(eager)] == [25 * DOLLAR]
    assert await attempts_of(idle) == []


async def test_one_charge_closes_the_whole_gap(new_account, set_rule, refill, attempts_of):
    account = await new_account(micros=DOLLAR)
    await set_rule(account, threshold=50 * DOLLAR, amount=20 * DOLLAR, only_while_running=False)
    await refill(account)
    [attempt] = await attempts_of(account)
    assert attempt.amount == 60 * DOLLAR


async def test_a_target_is_filled_up_to_the_cent_above(new_account, set_rule, refill, attempts_of):
    account = await new_account(micros=1_234_567)
    await set_rule(account, mode=Mode.TARGET, amount=None, target=30 * DOLLAR, only_while_running=False)
    await refill(account)
    [attempt] = await attempts_of(account)
    assert attempt.amount == 28_770_000


async def test_what_does_not_fit_the_cap_is_not_charged_in_part(new_account, set_rule, refill, attempts_of, told, at):
    account = await new_account(micros=DOLLAR)
    await set_rule(account, monthly_cap=24 * DOLLAR, only_while_running=False)
    [verdict] = await refill(account)
    assert (verdict.rule.state, verdict.rule.reason) == (State.CAPPED, Reason.MONTHLY_CAP)
    assert verdict.rule.until == datetime(2026, 4, 1, tzinfo=UTC)
    assert await attempts_of(account) == []
    assert [kind for kind, _ in await told(account)][-1] == "auto_topup.capped"
    assert await refill(account, when=datetime(2026, 3, 31, 23, 59, tzinfo=UTC)) == []
    [verdict] = await refill(account, when=datetime(2026, 4, 1, tzinfo=UTC))
    assert verdict.rule.state is State.CAPPED  # it still does not fit


async def test_a_month_that_begins_leaves_room_again_but_for_what_is_resolved_in_it(
    new_account, set_rule, refill, attempts_of, send, come_in
):
    account = await new_account(micros=DOLLAR)
    late = datetime(2026, 3, 31, 23, 59, tzinfo=UTC)
    await set_rule(account, monthly_cap=50 * DOLLAR, only_while_running=False, threshold=60 * DOLLAR, when=late)
    await refill(account, when=late)  # 75 dollars do not fit
    assert await attempts_of(account) == []
    await set_rule(account, monthly_cap=80 * DOLLAR, only_while_running=False, threshold=60 * DOLLAR, when=late)
    await refill(account, when=late)
    [first] = await attempts_of(account)
    await send(first, when=late)
    await come_in(first, when=late + 2 * MINUTE)  # in April
    await set_rule(
        account, monthly_cap=80 * DOLLAR, only_while_running=False, threshold=90 * DOLLAR, when=late + 3 * MINUTE
    )
    [verdict] = await refill(account, when=late + 20 * MINUTE)
    assert verdict.rule.state is State.CAPPED


async def test_after_a_success_ten_minutes_pass(
    new_account, set_rule, refill, attempts_of, send, come_in, the_rule, at
):
    account = await new_account(micros=DOLLAR)
    await set_rule(account, only_while_running=False)
    await refill(account)
    [attempt] = await attempts_of(account)
    await send(attempt)
    assert await come_in(attempt)
    assert not await come_in(attempt)
    assert (await the_rule(account)).state is State.COOLING
    await set_rule(account, only_while_running=False, threshold=40 * DOLLAR)
    assert await refill(account, when=at + 9 * MINUTE) == []
    [verdict] = await refill(account, when=at + 10 * MINUTE)
    assert verdict.amount == 25 * DOLLAR


async def test_ten_charges_a_day_are_enough(new_account, set_rule, refill, attempts_of, send, come_in, the_rule, at):
    account = await new_account(micros=DOLLAR)
    when = at
    for n in range(11):
        await set_rule(
            account,
            only_while_running=False,
            threshold=(30 + 25 * n) * DOLLAR,
            amount=25 * DOLLAR,
            monthly_cap=5_000 * DOLLAR,
            when=when,
        )
        await refill(account, when=when)
        for attempt in await attempts_of(account):
            if attempt.is_open:
                await send(attempt, when=when)
                await come_in(attempt, when=when)
        when += 11 * MINUTE
    rule = await the_rule(account)
    assert len(await attempts_of(account)) == 10
    assert (rule.state, rule.reason, rule.until) == (
        State.COOLING,
        Reason.DAILY_LIMIT,
        datetime(2026, 3, 2, tzinfo=UTC),
    )


async def test_fifty_decreases_at_once_ask_once(api_db, new_account, set_rule, attempts_of, at):
    account = await new_account(micros=60 * DOLLAR)
    await set_rule(account)

    async def decrease():
        async with api_db.begin(account) as session:
            await wallet.hold(session, account_id=account, rental_id=RentalId.new(), rate=DOLLAR, at=at, actor="test")

    outcomes = await asyncio.gather(*(decrease() for _ in range(55)), return_exceptions=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, BaseException)] == []
    assert len(await attempts_of(account)) == 1


async def test_a_wallet_that_owes_or_is_frozen_or_restricted_is_not_charged(
    worker_db, new_account, set_rule, refill, attempts_of, at
):
    owing, frozen = [await new_account(micros=DOLLAR) for _ in range(2)]
    restricted = await new_account(micros=DOLLAR, audited=False)
    for account in (owing, frozen, restricted):
        await set_rule(account, only_while_running=False)
    async with worker_db.begin_unscoped() as session:
        await wallet.claw_back(
            session, account_id=owing, amount=2 * DOLLAR, reference="x", reason="x", actor="test", at=at
        )
        await ledger.freeze(session, account_id=frozen, at=at)
        await ledger.restrict(session, account_id=restricted, at=at)
    for account in (owing, frozen, restricted):
        assert await refill(account) == []
        assert await attempts_of(account) == []
    async with worker_db.begin_unscoped() as session:
        await wallet.unfreeze(session, account_id=frozen, at=at)
    assert len(await attempts_of(frozen)) == 1


async def test_an_account_without_a_rule_costs_one_look(worker_db, new_account, at):
    accounts = [await new_account(micros=DOLLAR) for _ in range(3)]
    async with worker_db.begin_unscoped() as session:
        assert await refills.find_below(session, accounts, at=at) == []


async def test_what_is_being_started_counts_as_live_and_as_needed(worker_db, new_account, set_rule, attempts_of, at):
    account = await new_account(micros=DOLLAR)
    await set_rule(account)
    async with worker_db.begin_unscoped() as session:
        [verdict] = await refills.ask(
            session, [account], live={account}, at=at, trigger=Trigger.INSUFFICIENT_BALANCE, need=30 * DOLLAR
        )
    assert verdict.amount == 50 * DOLLAR


async def test_a_need_beyond_the_cap_leaves_the_plain_charge(worker_db, new_account, set_rule, at):
    account = await new_account(micros=DOLLAR)
    await set_rule(account, monthly_cap=30 * DOLLAR)
    async with worker_db.begin_unscoped() as session:
        [verdict] = await refills.ask(
            session, [account], live={account}, at=at, trigger=Trigger.INSUFFICIENT_BALANCE, need=30 * DOLLAR
        )
    assert verdict.amount == 25 * DOLLAR
