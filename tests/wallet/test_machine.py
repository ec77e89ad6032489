"""A wallet under everything at once: scarce money, late and doubled ticks, stops at any second, debts, refunds.

An oracle in fractions keeps its own books; the rooms' invariants are asked after every step.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app import ledger, wallet
from app.kit.db import Database, driver
from app.kit.ids import AccountId, RentalId
from app.kit.invariants import Broken
from app.kit.leases import bucket_of
from app.ledger import invariants as ledger_invariants
from app.wallet import invariants as wallet_invariants

# The end of a month lies within reach, so that usage has to be split there.
START = datetime(2026, 3, 31, 22, 41, 7, 350_000, tzinfo=UTC)
WARNED_AGAIN = timedelta(hours=12)

money = st.integers(50, 1_500).map(lambda cents: cents * 10_000) | st.integers(500_000, 15_000_000)
rates = st.sampled_from([120_000, 2_800_000, 12_000_000]) | st.integers(1, 1_000_000) | st.integers(1, 12_000_000)
limits = st.none() | st.integers(1, 30_000_000)
pauses = (
    st.integers(1, 90_000).map(lambda ms: timedelta(milliseconds=ms))
    | st.sampled_from([600, 599, 601, 1200, 3540, 3599, 3600, 3601]).map(lambda s: timedelta(seconds=s))
    | st.integers(1, 30 * 3600).map(lambda s: timedelta(seconds=s))
)
choice = st.integers(0, 1_000_000)


@dataclass
class Rental:
    """What the oracle knows of a rental: when it ran, at what rate. Never what the meter says."""

    id: RentalId
    account: AccountId
    rate: int
    max_spend: int | None
    state: str = "waiting"
    started: datetime | None = None
    ran: int = 0
    lost: int = 0
    refunded: Fraction = Fraction(0)

    def elapsed(self, at: datetime) -> int:
        if self.started is None or at < self.started:
            return self.ran
        return self.ran + floor(Fraction((at - self.started) // timedelta(microseconds=1), 1_000_000))

    def exact(self, at: datetime) -> Fraction:
        return Fraction(self.rate * (self.elapsed(at) - self.lost), 3600)


@dataclass
class Warning:  # noqa: A001 - the field's term
    """An armed level, and when it last fired."""

    threshold: int
    armed: bool
    fired_at: datetime | None = None
    fired: int = 0

    def meet(self, available: int, at: datetime) -> None:
        if self.armed and available <= self.threshold:
            self.armed = False
            if self.fired_at is None or at - self.fired_at >= WARNED_AGAIN:
                self.fired_at, self.fired = at, self.fired + 1
        elif not self.armed and available > self.threshold and Fraction(available) >= Fraction(11, 10) * self.threshold:
            self.armed = True


@dataclass
class Account:
    """What the oracle knows of an account: what came in and what was taken back."""

    id: AccountId
    brought_in: int = 0
    frozen: bool = False
    levels: dict[str, Warning] = field(default_factory=lambda: {"depleted": Warning(0, armed=False)})


@dataclass
class Seen:
    """What the database says after a step."""

    balances: dict[AccountId, wallet.Balance] = field(default_factory=dict)
    holds: dict[RentalId, wallet.HoldView] = field(default_factory=dict)
    told: dict[tuple[str, str], int] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)


TOLD = "SELECT subject, data->>'level', count(*) FROM events WHERE account_id = ANY($1) GROUP BY 1, 2"


class WalletMachine(RuleBasedStateMachine):
    loop: asyncio.AbstractEventLoop
    db: Database

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.accounts: list[Account] = []
        self.rentals: list[Rental] = []
        self.references = 0
        self.seen = Seen()

    # -- running things ------------------------------------------------------------------------------------------

    def together(self, *works):
        """Run each work in a transaction of its own, all at once."""

        async def all_of_them():
            return await asyncio.gather(*(self.db.run(work) for work in works), return_exceptions=True)

        results = self.loop.run_until_complete(all_of_them())
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, wallet.InsufficientBalance):
                raise result
        return results

    def do(self, work):
        [result] = self.together(work)
        if isinstance(result, BaseException):
            raise result
        return result

    def look(self) -> None:
        """Read everything in one transaction, and let the oracle's warnings see where each wallet stands."""

        async def work(session):
            seen = Seen()
            for account in self.accounts:
                ids = [rental.id for rental in self.rentals if rental.account == account.id]
                seen.balances[account.id] = await wallet.get_balance(session, account_id=account.id, at=self.now)
                seen.holds |= await wallet.find_holds(session, account_id=account.id, rental_ids=ids)
            ids = [account.id for account in self.accounts]
            seen.told = {(row[0], row[1]): row[2] for row in await driver(session).fetch(TOLD, ids)}
            seen.broken += await ledger_invariants.broken_for(session, ids)
            seen.broken += await wallet_invariants.broken_for(session, ids)
            return seen

        self.seen = self.do(work)
        for account in self.accounts:
            for level in account.levels.values():
                level.meet(self.balance(account).available, self.now)

    def balance(self, account: Account) -> wallet.Balance:
        return self.seen.balances[account.id]

    def pick(self, n: int, *states: str) -> Rental | None:
        fitting = [rental for rental in self.rentals if rental.state in states]
        return fitting[n % len(fitting)] if fitting else None

    def account_of(self, rental: Rental) -> Account:
        return next(account for account in self.accounts if account.id == rental.account)

    def check_settled(self, rentals: list[Rental]) -> None:
        """After a settlement no second is left open, and only seconds that nobody could pay are lost."""
        views = self.seen.holds
        for rental in rentals:
            meter, account = views[rental.id].meter, self.account_of(rental)
            balance = self.balance(account)
            assert meter.billed_seconds + meter.overrun_seconds == rental.elapsed(self.now)
            if meter.overrun_seconds > rental.lost:
                capped = rental.max_spend is not None and meter.charged + meter.held >= rental.max_spend
                assert capped or account.frozen or balance.owed or balance.available == 0
            rental.lost = meter.overrun_seconds
            full = min(rental.rate, rental.max_spend - meter.charged if rental.max_spend else rental.rate)
            if views[rental.id].state == "running":
                assert meter.held == full or account.frozen or balance.owed or balance.available == 0
            assert 0 <= rental.exact(self.now) - meter.charged < 1

    def lost_by_inflow(self, account: Account) -> None:
        """An inflow does not pay for seconds that ran after the money had ended."""
        mine = [rental for rental in self.rentals if rental.account == account.id and rental.state == "running"]
        for rental in mine:
            view = self.seen.holds[rental.id]
            if view.meter.overrun_seconds > rental.lost:
                assert view.meter.billed_seconds + view.meter.overrun_seconds == rental.elapsed(self.now)
                rental.lost = view.meter.overrun_seconds

    # -- rules ---------------------------------------------------------------------------------------------------

    @initialize(
        opening=st.lists(st.tuples(money, st.lists(st.integers(2, 40), max_size=3)), min_size=2, max_size=3),
        threshold=st.integers(1, 5_000_000),
    )
    def open_accounts(self, opening, threshold):
        """Open accounts in which something runs already, at a part of what there is."""
        for amount, parts in opening:
            account = Account(AccountId.new())
            self.do(lambda s, a=account: wallet.open_wallet(s, account_id=a.id, at=self.now))
            self.do(lambda s, a=account: wallet.set_low_balance(s, account_id=a.id, threshold=threshold))
            account.levels["balance"] = Warning(threshold, armed=False)
            self.accounts.append(account)
            self.look()
            self.credit_once(account, amount, doubled=False)
            for part in parts:
                self.hold_at_once(account, amount // part, None, count=1, begins=True)

    def credit_once(self, account: Account, amount: int, *, doubled: bool) -> None:
        self.references += 1
        reference, at = f"ref-{self.references}", self.now

        async def work(session):
            return await wallet.credit_adjustment(
                session, account_id=account.id, amount=amount, reference=reference, reason="why", actor="op", at=at
            )

        moved = self.together(work, work) if doubled else self.together(work)
        assert sum(moved) == 1
        account.brought_in += amount
        self.look()
        self.lost_by_inflow(account)

    @rule(n=choice, amount=money, doubled=st.booleans())
    def credit(self, n, amount, doubled):
        self.credit_once(self.accounts[n % len(self.accounts)], amount, doubled=doubled)

    @rule(n=choice, amount=money, beyond=st.booleans())
    def claw_back(self, n, amount, beyond):
        account = self.accounts[n % len(self.accounts)]
        self.references += 1
        reference, at, before = f"claw-{self.references}", self.now, self.balance(account)
        amount += before.available * beyond

        async def work(session):
            return await wallet.claw_back(
                session, account_id=account.id, amount=amount, reference=reference, reason="why", actor="op", at=at
            )

        assert self.together(work, work).count(True) == 1
        account.brought_in -= amount
        self.look()
        after = self.balance(account)
        assert after.available == max(0, before.available - amount)
        assert after.owed == before.owed + max(0, amount - before.available)
        assert after.reserved == before.reserved

    @rule(by=pauses)
    def wait(self, by):
        self.now += by
        self.look()

    @rule(n=choice, rate=rates, limit=limits, count=st.integers(1, 4), begins=st.booleans())
    def hold(self, n, rate, limit, count, begins):
        """As many holds at once as ``count``: exactly as many succeed as there is money for."""
        account = self.accounts[n % len(self.accounts)]
        self.hold_at_once(account, rate, limit, count=count, begins=begins)

    def hold_at_once(self, account, rate, limit, *, count, begins):
        needed = rate if limit is None else min(rate, limit)
        rentals = [Rental(RentalId.new(), account.id, rate, limit) for _ in range(count)]
        before = self.balance(account)

        def work(rental):
            return lambda s: wallet.hold(
                s,
                account_id=account.id,
                rental_id=rental.id,
                rate=rate,
                at=self.now,
                actor="user",
                max_spend=limit,
            )

        if account.frozen:
            with pytest.raises(wallet.WalletLocked):
                self.do(work(rentals[0]))
            return
        results = self.together(*map(work, rentals))
        held = [r for r, result in zip(rentals, results, strict=True) if not isinstance(result, BaseException)]
        assert len(held) == (0 if before.owed else min(count, before.available // needed))
        self.rentals += held
        self.look()
        assert self.balance(account).available == before.available - len(held) * needed
        for rental in held * begins:
            self.start_one(rental, doubled=False)

    @rule(n=choice, doubled=st.booleans())
    def start(self, n, doubled):
        rental = self.pick(n, "waiting")
        if rental is not None:
            self.start_one(rental, doubled=doubled)

    def start_one(self, rental: Rental, *, doubled: bool) -> None:
        async def work(session):
            await wallet.start(session, account_id=rental.account, rental_id=rental.id, at=self.now)

        self.together(*[work] * (1 + doubled))
        rental.state, rental.started = "running", self.now
        self.look()
        self.lost_by_inflow(self.account_of(rental))

    @rule(n=choice, after=pauses)
    def pause(self, n, after):
        rental = self.pick(n, "running")
        if rental is None:
            return
        self.now += after

        async def work(session):
            await wallet.pause(session, account_id=rental.account, rental_id=rental.id, at=self.now)

        self.together(work, work)
        self.look()
        self.check_settled([rental])
        rental.ran, rental.started, rental.state = rental.elapsed(self.now), None, "waiting"

    @rule(which=st.sets(st.integers(0, 20)), doubled=st.booleans(), after=pauses)
    def settle(self, which, doubled, after):
        """Settle some or all that run, once or by two workers in the same moment."""
        self.now += after
        running = [rental for rental in self.rentals if rental.state == "running"]
        chosen = [rental for n, rental in enumerate(running) if n in which] or running
        due = [wallet.Due(rental.account, rental.id, bucket_of(rental.account)) for rental in chosen]

        async def work(session):
            return await wallet.settle(session, due, at=self.now)

        self.together(*[work] * (1 + doubled))
        self.look()
        self.check_settled(chosen)
        before = [self.balance(account).seq for account in self.accounts]
        self.do(work)
        self.look()
        assert [self.balance(account).seq for account in self.accounts] == before

    @rule(n=choice, after=pauses, back=st.none() | st.integers(1, 900), refund=st.sampled_from(["none", "all", "part"]))
    def close(self, n, after, back, refund):
        """Stop, now or at a moment that has passed (the host was last good then); stopping again changes nothing."""
        rental = self.pick(n, "running", "waiting")
        if rental is None:
            return
        self.now += after
        until = self.now if back is None else self.now - timedelta(seconds=back)
        before = self.seen.holds[rental.id].meter
        ends = max(before.billed_seconds + before.overrun_seconds, rental.elapsed(until))

        async def work(session):
            return await wallet.close(
                session, account_id=rental.account, rental_id=rental.id, at=self.now, billable_until=until
            )

        settled = self.together(work, work)[0]
        self.look()
        rental.lost = settled.overrun_seconds
        assert settled.billed_seconds + settled.overrun_seconds == ends
        assert 0 <= Fraction(rental.rate * settled.billed_seconds, 3600) - settled.charged < 1
        rental.ran, rental.started, rental.state = ends, None, "closed"
        if before.overrun_seconds < settled.overrun_seconds:
            balance = self.balance(self.account_of(rental))
            frozen = self.account_of(rental).frozen
            second_more = floor(Fraction(rental.rate * (settled.billed_seconds + 1), 3600))
            capped = rental.max_spend is not None and second_more > rental.max_spend
            # What came back from the hold is less than one second costs.
            assert capped or frozen or balance.owed or balance.available <= Fraction(rental.rate, 3600) + 1
        self.lost_by_inflow(self.account_of(rental))
        if refund != "none":
            self.refund(rental, good=refund == "part")

    def refund(self, rental: Rental, *, good: bool) -> None:
        view = self.seen.holds[rental.id]
        good_until = view.meter.started_at + timedelta(seconds=100) if good and view.meter.started_at else None

        async def work(session):
            return await wallet.refund_host_fault(
                session,
                account_id=rental.account,
                rental_id=rental.id,
                at=self.now,
                reason="host fault",
                good_until=good_until,
            )

        given = sum(self.together(work, work))
        if good_until is None:
            assert given == view.meter.charged
        else:
            assert 0 <= given <= view.meter.charged
        rental.refunded += given
        self.look()
        self.lost_by_inflow(self.account_of(rental))

    @rule(n=choice)
    def freeze_or_unfreeze(self, n):
        account = self.accounts[n % len(self.accounts)]
        if account.frozen:
            self.do(lambda s: wallet.unfreeze(s, account_id=account.id, at=self.now))
            self.look()
            self.lost_by_inflow(account)
        elif n % 3 == 0:
            self.do(lambda s: ledger.freeze(s, account_id=account.id, at=self.now))
        else:
            return
        account.frozen = not account.frozen

    # -- invariants ----------------------------------------------------------------------------------------------

    @invariant()
    @precondition(lambda self: self.accounts)
    def the_rooms_invariants_hold(self):
        assert self.seen.broken == []

    @invariant()
    @precondition(lambda self: self.accounts)
    def the_books_agree_with_the_oracle(self):
        for account in self.accounts:
            balance = self.balance(account)
            mine = [
                (rental, self.seen.holds[rental.id].meter) for rental in self.rentals if rental.account == account.id
            ]
            spent = sum(meter.charged for _, meter in mine) - sum(rental.refunded for rental, _ in mine)
            assert balance.total - balance.owed + spent == account.brought_in
            running = [(rental, meter) for rental, meter in mine if rental.state == "running"]
            assert balance.burn_per_hour == sum(rental.rate for rental, _ in running)
            assert balance.accrued == sum(self.accrued(rental, meter) for rental, meter in running)
            for rental, meter in mine:
                assert meter.charged <= rental.exact(self.now)

    def accrued(self, rental: Rental, meter: wallet.Meter) -> int:
        """The exact cost of the whole seconds that ran, of as many as the money held can pay for."""
        payable = ceil(Fraction((meter.charged + meter.held + 1) * 3600, rental.rate)) - 1
        seconds = min(rental.elapsed(self.now) - rental.lost, payable)
        return floor(Fraction(rental.rate * seconds, 3600)) - meter.charged

    @invariant()
    @precondition(lambda self: self.accounts)
    def each_warning_is_told_once(self):
        for account in self.accounts:
            for name, level in account.levels.items():
                assert self.seen.told.get((account.id, name), 0) == level.fired


def _run(databases, **options) -> None:
    """Run the machine in an event loop of its own, with its own connections."""
    loop = asyncio.new_event_loop()
    db = Database.connect(databases.urls.worker, role="machine", pool_size=6)
    machine = type("Machine", (WalletMachine,), {"loop": loop, "db": db})
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                deadline=None,
                database=None,
                suppress_health_check=quiet,
                print_blob=True,
                report_multiple_bugs=False,
                **options,
            ),
        )
    finally:
        loop.run_until_complete(db.aclose())
        loop.close()


def test_money_stays_exact_whatever_happens_in_whatever_order(databases):
    _run(databases, max_examples=25, stateful_step_count=50, derandomize=True)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_money_stays_exact_over_a_hundred_thousand_steps(databases):
    _run(databases, max_examples=1_500, stateful_step_count=70)
