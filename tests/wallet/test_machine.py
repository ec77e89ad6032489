"""A wallet under everything at once: scarce money, late and doubled ticks, stops at any second, rates that change, debts,
promotions that expire, refunds and disputes.

An oracle in fractions keeps its own books; the rooms' invariants are asked whenever it looks.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from app import ledger, lots, wallet
from app.kit.db import Database, driver
from app.kit.ids import AccountId, DisputeId, PaymentId, RefundId, RentalId
from app.kit.invariants import Broken
from app.kit.leases import bucket_of
from app.ledger import Kind, Movement
from app.ledger import invariants as ledger_invariants
from app.lots import invariants as lots_invariants
from app.wallet import invariants as wallet_invariants
from tests.state_machines import run_machine

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
money_max = 10**18


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
    earlier: list[tuple[int, int]] = field(default_factory=list)
    """Earlier rates, and how many seconds were billed at each."""
    stop_by: datetime | None = None

    def elapsed(self, at: datetime) -> int:
        if self.stop_by is not None:
            at = min(at, self.stop_by)
        if self.started is None or at < self.started:
            return self.ran
        return self.ran + floor(Fraction((at - self.started) // timedelta(microseconds=1), 1_000_000))

    @property
    def repriced_at(self) -> int:
        """How many seconds had been billed when the present rate began."""
        return sum(seconds for _, seconds in self.earlier)

    def exact(self, at: datetime) -> Fraction:
        return self.exactly(self.elapsed(at) - self.lost)

    def exactly(self, billed: int) -> Fraction:
        """What so many seconds cost, each at the rate of its time: each rate's part in whole micro-dollars."""
        exact = Fraction(0)
        for rate, seconds in self.earlier:
            part = min(billed, seconds)
            billed, exact = billed - part, floor(exact) + Fraction(rate * part, 3600)
        return floor(exact) + Fraction(self.rate * billed, 3600)

    def fair(self, billed: int) -> Fraction:
        """The same without any rounding."""
        fair = Fraction(0)
        for rate, seconds in self.earlier:
            part = min(billed, seconds)
            billed, fair = billed - part, fair + Fraction(rate * part, 3600)
        return fair + Fraction(self.rate * billed, 3600)


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
class Payment:
    """What a card brought, and what of that was taken back or is held for it."""

    id: PaymentId
    amount: int
    reversed: int = 0


@dataclass
class Refund:
    """Money held for a refund; afterwards one that may fail and come back."""

    id: RefundId
    payment: Payment
    amount: int
    state: str = "held"


@dataclass
class Dispute:
    """A payment that is contested: for how much, and what was taken."""

    id: DisputeId
    payment: Payment
    amount: int
    held: int
    debited: int = 0
    returned: int = 0
    open: bool = True


@dataclass
class Account:
    """What the oracle knows of an account: what came in and what was taken back."""

    id: AccountId
    brought_in: int = 0
    frozen: bool = False
    promo_in: int = 0
    promo_out: int = 0
    """What expired."""
    payments: list[Payment] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    disputes: list[Dispute] = field(default_factory=list)

    @property
    def restricted(self) -> bool:
        return any(dispute.open for dispute in self.disputes)

    @property
    def reversal_held(self) -> int:
        held = sum(refund.amount for refund in self.refunds if refund.state == "held")
        return held + sum(dispute.held for dispute in self.disputes)

    levels: dict[str, Warning] = field(default_factory=lambda: {"depleted": Warning(0, armed=False)})


@dataclass
class Seen:
    """What the database says after a step."""

    balances: dict[AccountId, wallet.Balance] = field(default_factory=dict)
    holds: dict[RentalId, wallet.HoldView] = field(default_factory=dict)
    told: dict[tuple[str, str], int] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)


WITHHELD = """
SELECT (SELECT coalesce(sum(withheld), 0)::bigint FROM credit_lots WHERE account_id = $1),
       (SELECT coalesce(sum(CASE 'promo' WHEN debit THEN amount WHEN credit THEN -amount END), 0)::bigint
        FROM transfers WHERE account_id = $1)
"""
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
        """Read everything in one transaction, in which the rooms' invariants hold, and let the oracle's warnings see
        where each wallet stands.
        """

        async def work(session):
            seen = Seen()
            for account in self.accounts:
                ids = [rental.id for rental in self.rentals if rental.account == account.id]
                seen.balances[account.id] = await wallet.get_balance(session, account_id=account.id, at=self.now)
                seen.holds |= await wallet.find_holds(session, account_id=account.id, rental_ids=ids)
            ids = [account.id for account in self.accounts]
            seen.told = {(row[0], row[1]): row[2] for row in await driver(session).fetch(TOLD, ids)}
            # Lots are asked as a step left them, and counted afterwards: at every other step, or two at a time.
            seen.broken += await lots_invariants.broken_for(session, ids)
            seen.broken += await ledger_invariants.broken_for(session, ids)
            seen.broken += await wallet_invariants.broken_for(session, ids)
            for account in ids[:: 1 + len(self.rentals) % 2]:
                await lots.advance(session, account)
            return seen

        self.seen = self.do(work)
        assert self.seen.broken == []
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
                assert capped or account.frozen or account.restricted or balance.owed or balance.available == 0
            rental.lost = meter.overrun_seconds
            full = min(rental.rate, rental.max_spend - meter.charged if rental.max_spend else rental.rate)
            if views[rental.id].state == "running":
                stuck = account.frozen or account.restricted or balance.owed
                assert meter.held == full or stuck or balance.available == 0
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

    # -- what is taken back --------------------------------------------------------------------------------------

    def takeable(self, account: Account) -> int:
        """Of what is available, what is no promotion: rentals hold promotional credit first."""
        book = self.book(account)
        rentals = self.balance(account).reserved - account.reversal_held
        return self.balance(account).available - max(0, book.promo_left - rentals)

    def book(self, account: Account) -> lots.Book:
        return self.do(lambda s: lots.advance(s, account.id))

    def check_taken(self, account: Account, before: wallet.Balance, free: int, amount: int) -> None:
        """What could be taken was, the rest is owed, and then nothing is available."""
        account.brought_in -= amount
        self.look()
        after = self.balance(account)
        assert after.owed == before.owed + max(0, amount - free)
        assert after.available == (0 if after.owed else before.available - amount)

    @rule(n=choice, amount=money, beyond=st.booleans())
    def claw_back(self, n, amount, beyond):
        """Take back an unknown payment, or what is left of a known one."""
        account = self.accounts[n % len(self.accounts)]
        before, free, at = self.balance(account), self.takeable(account), self.now
        payment = self.payment(account, n)
        if payment is None:
            amount += before.available * beyond
        else:
            amount = payment.amount - payment.reversed if beyond else min(amount, payment.amount - payment.reversed)
            payment.reversed += amount
        reference = RefundId.new()

        async def work(session):
            return await wallet.claw_back(
                session,
                account_id=account.id,
                amount=amount,
                reference=reference,
                reason="why",
                actor="op",
                at=at,
                payment_id=payment and payment.id,
            )

        assert self.together(work, work).count(True) == 1
        self.check_taken(account, before, free, amount)
        assert self.balance(account).reserved == before.reserved
        if payment is not None and n % 3 == 0:
            self.come_back(account, Refund(reference, payment, amount))

    def come_back(self, account: Account, refund: Refund) -> None:
        async def work(session):
            return await wallet.give_back(
                session,
                account_id=account.id,
                amount=refund.amount,
                reference=refund.id,
                reason="failed",
                at=self.now,
            )

        assert self.together(work, work).count(True) == 1
        account.brought_in += refund.amount
        refund.payment.reversed -= refund.amount
        self.look()
        self.lost_by_inflow(account)

    def payment(self, account: Account, n: int) -> Payment | None:
        left = [payment for payment in account.payments if payment.reversed < payment.amount]
        return left[n % len(left)] if left else None

    @rule(n=choice, amount=money)
    def deposit(self, n, amount):
        account, payment = self.accounts[n % len(self.accounts)], Payment(PaymentId.new(), amount)
        movement = Movement(account.id, Kind.DEPOSIT, amount, f"p:{payment.id}", self.now, reference=payment.id)

        async def work(session):
            return await wallet.receive(session, movement)

        assert self.together(work, work).count(True) == 1
        account.payments.append(payment)
        account.brought_in += amount
        self.look()
        self.lost_by_inflow(account)

    @rule(n=choice, amount=money, lasts=st.none() | pauses, priority=st.integers(1, 3))
    def grant(self, n, amount, lasts, priority):
        account = self.accounts[n % len(self.accounts)]
        self.references += 1
        reference, before = f"promo-{self.references}", self.balance(account)

        async def work(session):
            return await wallet.grant_promo(
                session,
                account_id=account.id,
                amount=amount,
                reference=reference,
                reason="why",
                actor="op",
                at=self.now,
                expires_at=lasts and self.now + lasts,
                priority=priority,
            )

        assert self.together(work, work).count(True) == 1
        account.promo_in += amount
        self.look()
        self.lost_by_inflow(account)
        assert self.balance(account).owed == before.owed

    @rule(n=choice, after=pauses)
    def expire(self, n, after):
        self.now += after
        account = self.accounts[n % len(self.accounts)]
        running = [rental for rental in self.rentals if rental.account == account.id and rental.state == "running"]

        async def work(session):
            return await wallet.expire_promo(session, account_id=account.id, at=self.now)

        account.promo_out += sum(self.together(work, work))
        self.look()
        self.check_settled(running)
        book, balance = self.book(account), self.balance(account)
        held = balance.reserved - account.reversal_held
        assert all(lot.expires_at is None or lot.expires_at > self.now for lot, _ in book.unheld_promo(held))

    @rule(n=choice, amount=money, whole=st.booleans())
    def hold_refund(self, n, amount, whole):
        account = self.accounts[n % len(self.accounts)]
        payment = self.payment(account, n)
        if payment is None:
            return
        left = self.book(account).left_of(payment.id)
        eligible = min(left, self.takeable(account))
        assert left <= payment.amount - payment.reversed
        amount = max(1, eligible) if whole else amount
        before, refund = self.balance(account), Refund(RefundId.new(), payment, amount)

        async def work(session):
            return await wallet.hold_refund(
                session,
                account_id=account.id,
                refund_id=refund.id,
                payment_id=payment.id,
                amount=amount,
                at=self.now,
                actor="user",
            )

        results = self.together(work, work)
        if amount > eligible:
            assert all(isinstance(result, wallet.InsufficientBalance) for result in results)
            return
        assert sorted(results) == [0, amount]
        account.refunds.append(refund)
        payment.reversed += amount
        self.look()
        after = self.balance(account)
        assert (after.available, after.reserved) == (before.available - amount, before.reserved + amount)

    @rule(n=choice, ends=st.sampled_from(["finish", "release", "fail"]))
    def end_refund(self, n, ends):
        account = self.accounts[n % len(self.accounts)]
        held = [refund for refund in account.refunds if refund.state == "held"]
        if not held:
            return
        refund, before = held[n % len(held)], self.balance(account)
        end = wallet.release_refund if ends == "release" else wallet.finish_refund

        async def work(session):
            return await end(session, account_id=account.id, refund_id=refund.id, at=self.now)

        assert sorted(self.together(work, work)) == [0, refund.amount]
        refund.state = ends
        if ends == "release":
            refund.payment.reversed -= refund.amount
        else:
            account.brought_in -= refund.amount
        self.look()
        if ends == "release":
            self.lost_by_inflow(account)
            assert self.balance(account).owed == max(0, before.owed - refund.amount)
        elif ends == "fail":
            self.come_back(account, refund)

    @rule(n=choice)
    def dispute(self, n):
        account = self.accounts[n % len(self.accounts)]
        payment = self.payment(account, n)
        if payment is None:
            return
        amount = payment.amount - payment.reversed
        free, before, dispute_id = self.takeable(account), self.balance(account), DisputeId.new()

        async def work(session):
            return await wallet.hold_dispute(
                session,
                account_id=account.id,
                dispute_id=dispute_id,
                payment_id=payment.id,
                amount=amount,
                at=self.now,
            )

        held = min(free, amount)
        assert sum(self.together(work, work)) == held
        account.disputes.append(Dispute(dispute_id, payment, amount, held))
        payment.reversed += amount
        self.look()
        assert self.balance(account).available == before.available - held

    @rule(n=choice, part=st.integers(1, 3))
    def debit_dispute(self, n, part):
        account = self.accounts[n % len(self.accounts)]
        due = [dispute for dispute in account.disputes if dispute.open and dispute.debited < dispute.amount]
        if not due:
            return
        dispute, before = due[n % len(due)], self.balance(account)
        amount, posted = -(-(dispute.amount - dispute.debited) // part), dispute.debited
        of_held = min(dispute.held, amount)
        free = self.takeable(account)

        async def work(session):
            return await wallet.debit_dispute(
                session, account_id=account.id, dispute_id=dispute.id, amount=amount, at=self.now, before=posted
            )

        assert sorted(self.together(work, work)) == [0, amount]
        dispute.debited, dispute.held = posted + amount, dispute.held - of_held
        account.brought_in -= of_held
        self.check_taken(account, before, free, amount - of_held)

    @rule(n=choice, won=st.booleans())
    def end_dispute(self, n, won):
        account = self.accounts[n % len(self.accounts)]
        due = [dispute for dispute in account.disputes if dispute.open]
        if not due:
            return
        dispute = due[n % len(due)]
        terms = {"account_id": account.id, "dispute_id": dispute.id, "at": self.now}

        async def reverse(session):
            return await wallet.reverse_dispute(session, amount=dispute.debited, **terms)

        async def release(session):
            return await wallet.release_dispute(session, **terms)

        if won and dispute.debited:
            assert sorted(self.together(reverse, reverse)) == [0, dispute.debited]
            account.brought_in += dispute.debited
            dispute.payment.reversed -= dispute.debited
            self.look()
            self.lost_by_inflow(account)
        assert sum(self.together(release, release)) == dispute.held
        # What was neither debited nor held of it is not contested any more.
        dispute.payment.reversed -= dispute.amount - dispute.debited
        dispute.held, dispute.open = 0, False
        self.look()
        self.lost_by_inflow(account)

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

        if account.frozen or (account.restricted and needed <= before.available and not before.owed):
            with pytest.raises(wallet.WalletLocked):
                self.do(work(rentals[0]))
            return
        if account.restricted:
            with pytest.raises((wallet.WalletLocked, wallet.InsufficientBalance)):
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
        rental.stop_by = None

    @rule(n=choice, after=pauses, soon=st.none() | pauses, late=st.booleans())
    def cap(self, n, after, soon, late):
        """Bill nothing after a moment, or take that back; what has passed can't be moved."""
        rental = self.pick(n, "running")
        if rental is None:
            return
        self.now += after
        settled_at = self.seen.holds[rental.id].meter.settled_at
        stop_by = None if soon is None else self.now - soon if late else self.now + soon
        wanted = wallet.Cap(stop_by, "budget_exceeded") if stop_by else wallet.Cap()

        async def work(session):
            return await wallet.cap(session, {rental.id: wanted}, account_id=rental.account, at=self.now)

        changed = self.together(work, work)
        if rental.stop_by is None or rental.stop_by > self.now:
            new = stop_by and max(stop_by, settled_at)
            assert sorted(changed) == [0, int(new != rental.stop_by)]
            rental.stop_by = new
        else:
            assert changed == [0, 0]
        self.look()
        view = self.seen.holds[rental.id]
        assert view.meter.stop_by == rental.stop_by
        assert rental.stop_by is None or view.meter.ends_at <= rental.stop_by

    @rule(n=choice, rate=rates, after=pauses)
    def change_rate(self, n, rate, after):
        """Go on at another rate: a cheaper one always, a dearer one with an hour of it."""
        rental = self.pick(n, "running", "waiting")
        if rental is None:
            return
        self.now += after
        self.look()
        account = self.account_of(rental)
        before, hold = self.balance(account), self.seen.holds[rental.id].meter

        async def work(session):
            try:
                await wallet.change_rate(session, account_id=account.id, rental_id=rental.id, rate=rate, at=self.now)
            except (wallet.InsufficientBalance, wallet.WalletLocked):
                return "refused"
            return "changed"

        outcomes = self.together(work, work)
        self.look()
        after_it, meter = self.balance(account), self.seen.holds[rental.id].meter
        stuck = account.frozen or account.restricted or before.owed
        if "refused" in outcomes:
            assert outcomes == ["refused", "refused"]
            assert rate > rental.rate
            # What ran since the last settlement is paid first.
            due = min(floor(rental.exact(self.now)), rental.max_spend or money_max)
            full = rate if rental.max_spend is None else min(rate, rental.max_spend - due)
            assert stuck or before.available + hold.held + hold.charged - due < full
            assert (before, hold) == (after_it, meter)
            return
        if rate == rental.rate:
            assert (before, hold) == (after_it, meter)
            return
        billed = rental.elapsed(self.now) - meter.overrun_seconds
        rental.lost = meter.overrun_seconds
        assert meter.billed_seconds == billed
        assert 0 <= rental.exactly(billed) - meter.charged < 1
        rental.earlier.append((rental.rate, billed - rental.repriced_at))
        was, rental.rate = rental.rate, rate
        full = rate if rental.max_spend is None else min(rate, rental.max_spend - meter.charged)
        assert meter.held <= full
        if rate > was:
            assert meter.held == full
        elif meter.held < full:
            assert stuck or after_it.available == 0
        if meter.overrun_seconds > hold.overrun_seconds:
            capped = rental.max_spend is not None and meter.charged + was > rental.max_spend
            assert capped or stuck or after_it.available <= Fraction(was, 3600) + 1
        self.lost_by_inflow(account)

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
        before, owed = self.seen.holds[rental.id].meter, self.balance(self.account_of(rental)).owed
        ends = max(before.billed_seconds + before.overrun_seconds, rental.elapsed(until))

        async def work(session):
            return await wallet.close(
                session, account_id=rental.account, rental_id=rental.id, at=self.now, billable_until=until
            )

        settled = self.together(work, work)[0]
        self.look()
        rental.lost = settled.overrun_seconds
        assert settled.billed_seconds + settled.overrun_seconds == ends
        assert 0 <= rental.exactly(settled.billed_seconds) - settled.charged < 1
        assert 0 <= rental.fair(settled.billed_seconds) - settled.charged < 1 + len(rental.earlier)
        rental.ran, rental.started, rental.state = ends, None, "closed"
        if before.overrun_seconds < settled.overrun_seconds:
            balance = self.balance(self.account_of(rental))
            frozen = self.account_of(rental).frozen
            second_more = floor(rental.exactly(settled.billed_seconds + 1))
            capped = rental.max_spend is not None and second_more > rental.max_spend
            # What came back from the hold is less than one second costs.
            stuck = frozen or balance.owed or self.account_of(rental).restricted
            # What comes back meanwhile, withheld credit or what another hold released, came after the last second.
            assert capped or stuck or owed or balance.available <= Fraction(rental.rate, 3600) + 1
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
            kept = max(0, min(view.meter.billed_seconds, view.meter.elapsed(good_until) - view.meter.overrun_seconds))
            assert given == view.meter.charged - floor(rental.exactly(kept))
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
    def the_books_agree_with_the_oracle(self):
        for account in self.accounts:
            balance = self.balance(account)
            mine = [
                (rental, self.seen.holds[rental.id].meter) for rental in self.rentals if rental.account == account.id
            ]
            spent = sum(meter.charged for _, meter in mine) - sum(rental.refunded for rental, _ in mine)
            promo = account.promo_in - account.promo_out
            withheld, lapsed = self.withheld(account)
            assert balance.total - balance.owed + spent == account.brought_in + promo - withheld - lapsed
            assert balance.owed == 0 or balance.available == 0
            running = [(rental, meter) for rental, meter in mine if rental.state == "running"]
            assert balance.burn_per_hour == sum(rental.rate for rental, _ in running)
            assert balance.accrued == sum(self.accrued(rental, meter) for rental, meter in running)
            for rental, meter in mine:
                assert meter.charged <= rental.exact(self.now)

    def withheld(self, account: Account) -> tuple[int, int]:
        """What is withheld of promotions, and what of that expired meanwhile."""

        async def work(session):
            return await driver(session).fetchrow(WITHHELD, account.id)

        withheld, moved = self.do(work)
        return withheld, account.promo_in - account.promo_out - withheld - moved

    def accrued(self, rental: Rental, meter: wallet.Meter) -> int:
        """The exact cost of the whole seconds that ran, of as many as the money held can pay for."""
        since = meter.charged + meter.held - floor(rental.exactly(rental.repriced_at))
        payable = rental.repriced_at + ceil(Fraction((since + 1) * 3600, rental.rate)) - 1
        seconds = min(rental.elapsed(self.now) - rental.lost, payable)
        return floor(rental.exactly(seconds)) - meter.charged

    @invariant()
    @precondition(lambda self: self.accounts)
    def each_warning_is_told_once(self):
        for account in self.accounts:
            for name, level in account.levels.items():
                assert self.seen.told.get((account.id, name), 0) == level.fired


def test_money_stays_exact_whatever_happens_in_whatever_order(databases):
    run_machine(WalletMachine, databases, max_examples=7, stateful_step_count=50, derandomize=True)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_money_stays_exact_over_a_hundred_thousand_steps(databases):
    run_machine(WalletMachine, databases, max_examples=1_500, stateful_step_count=70)
