"""A rule under everything at once: decreases, declines, silence, months that end, customers who change their minds.

An oracle counts by itself what was charged and is in flight; after each step the cap has held at every instant.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from app import refills, tenancy, wallet
from app.events import list_events
from app.kit.db import Database
from app.kit.errors import InvalidState
from app.kit.ids import PaymentId, RentalId
from app.kit.money import Money
from app.ledger import Kind, Movement
from app.ledger import invariants as ledger_invariants
from app.refills import AttemptState, Card, Consent, Mode, Reason, Terms, Trigger
from app.refills import invariants as refill_invariants
from app.wallet import invariants as wallet_invariants
from tests.state_machines import run_machine

DOLLAR = 1_000_000
# The end of a month lies within reach.
START = datetime(2026, 3, 31, 21, 17, 3, tzinfo=UTC)
COOL_DOWN = timedelta(minutes=10)
CARDS = [Card("pm_1", "f-1"), Card("pm_2", "f-1"), Card("pm_3", "f-3")]

cents = st.integers(1, 3_000).map(lambda n: n * 10_000)
caps = st.integers(10, 200).map(lambda n: n * DOLLAR)
pauses = st.integers(1, 900).map(lambda s: timedelta(seconds=s)) | st.sampled_from(
    [timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6), timedelta(hours=24), timedelta(days=8)]
)
terms = st.builds(
    lambda threshold, amount, target, fixed, cap, only: Terms(
        Mode.FIXED if fixed else Mode.TARGET,
        threshold * DOLLAR,
        amount * DOLLAR if fixed else None,
        None if fixed else (threshold + target) * DOLLAR,
        cap,
        only_while_running=only,
    ),
    st.integers(5, 40),
    st.integers(5, 40),
    st.integers(10, 60),
    st.booleans(),
    caps,
    st.sampled_from([False, False, False, True]),
)
outcomes = st.lists(
    st.sampled_from(["pays"] * 6 + ["no_funds"] * 4 + ["lost_card", "owner", "silence", "none"]),
    min_size=1,
    max_size=6,
)


def _micros(text: str) -> int:
    return Money.parse(text).micros


class RefillMachine(RuleBasedStateMachine):
    loop: asyncio.AbstractEventLoop
    db: Database

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.attempts: list[refills.Attempt] = []
        self.asked: dict[str, tuple[int, int]] = {}
        """What was available, and the threshold, when each attempt was written."""
        self.rule: refills.Rule | None = None
        self.balance: wallet.Balance | None = None
        self.rentals: list[RentalId] = []
        self.known: set[str] = set()
        self.in_a_row: Counter[str] = Counter()
        """Declines of a card since a person last acted for it, or it paid."""

    # -- running things ------------------------------------------------------------------------------------------

    def together(self, *works):
        async def all_of_them():
            return await asyncio.gather(*(self.db.run(work) for work in works), return_exceptions=True)

        results = self.loop.run_until_complete(all_of_them())
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, wallet.InsufficientBalance | InvalidState):
                raise result
        self.look()
        return results

    def look(self) -> None:
        async def work(session):
            self.attempts = await refills.list_attempts(session, account_id=self.account, before=None, limit=1000)
            self.rule = await refills.find_rule(session, account_id=self.account)
            self.balance = await wallet.get_balance(session, account_id=self.account, at=self.now)
            events = await list_events(session, account_id=self.account, subject=self.account, limit=10_000)
            asked = [event.data for event in events if event.type == "auto_topup.created"]
            self.asked = {
                data["attempt_id"]: (_micros(data["available"]), _micros(data["threshold"])) for data in asked
            }
            rooms = (ledger_invariants, wallet_invariants, refill_invariants)
            return [found for room in rooms for found in await room.broken_for(session, [self.account])]

        assert self.loop.run_until_complete(self.db.run(work)) == []
        self.judge_the_new()

    def judge_the_new(self) -> None:
        """What was asked for in this step was allowed to be, by the oracle's own count."""
        new = [attempt for attempt in self.attempts if attempt.id not in self.known]
        self.known |= {attempt.id for attempt in new}
        assert len(new) <= 1
        for attempt in new:
            others = [other for other in self.attempts if other.id != attempt.id]
            assert not any(other.is_open for other in others)
            succeeded = [other for other in others if other.state is AttemptState.SUCCEEDED]
            month = [other for other in succeeded if self.touches_this_month(other)]
            assert sum(other.amount for other in month) + attempt.amount <= self.rule.terms.monthly_cap
            assert all(self.now - other.resolved_at >= COOL_DOWN for other in succeeded)
            today = [other for other in others if other.created_at.date() == self.now.date()]
            assert len([other for other in today if other.state is not AttemptState.CANCELED]) < 10
            have, threshold = self.asked[attempt.id]
            assert have < threshold <= have + attempt.amount
            assert self.in_a_row[attempt.card_fingerprint] < 3

    def touches_this_month(self, attempt: refills.Attempt) -> bool:
        here = (self.now.year, self.now.month)
        return here in {(at.year, at.month) for at in (attempt.created_at, attempt.resolved_at)}

    @property
    def open(self) -> refills.Attempt | None:
        return next((attempt for attempt in self.attempts if attempt.is_open), None)

    # -- rules ---------------------------------------------------------------------------------------------------

    @initialize(wanted=terms, coming=outcomes)
    def begin(self, wanted, coming):
        async def work(session):
            email = f"{uuid4().hex}@example.com"
            opened = await tenancy.open_account(session, name="Test", email=email, at=self.now)
            await wallet.open_wallet(session, account_id=opened.account_id, at=self.now)
            return opened.account_id

        self.account = self.loop.run_until_complete(self.db.run(work))
        self.configure_as(wanted, CARDS[0], judged=True)
        self.charge_as(coming)

    def credit(self, micros):
        reference = uuid4().hex

        async def work(session):
            await wallet.credit_adjustment(
                session,
                account_id=self.account,
                amount=micros,
                reference=reference,
                reason="by hand",
                actor="test",
                at=self.now,
            )

        self.together(work)

    @rule(micros=cents)
    def bring_money(self, micros):
        self.credit(micros)

    @rule(wanted=terms, card=st.sampled_from(CARDS), judged=st.booleans())
    def configure(self, wanted, card, judged):
        self.configure_as(wanted, card, judged=judged)

    def configure_as(self, wanted, card, *, judged):
        if self.rule is not None and self.rule.card is not None and self.rule.card.fingerprint != card.fingerprint:
            # Another card begins anew, and only one that was given up is remembered.
            self.in_a_row = Counter({known: n for known, n in self.in_a_row.items() if n >= 3})

        async def work(session):
            consent = Consent("v1", self.now, "test")
            await refills.configure(
                session, account_id=self.account, terms=wanted, card=card, consent=consent, at=self.now
            )
            await wallet.watch(session, account_id=self.account)
            if judged:
                await wallet.reconsider(session, account_id=self.account, trigger=Trigger.CONFIG, at=self.now)

        self.together(work)

    @rule(rates=st.lists(cents, min_size=1, max_size=6))
    def spend(self, rates):
        """Several requests at once: each holds an hour, or is refused and asks the card."""
        rentals = [RentalId.new() for _ in rates]

        def holding(rental, rate):
            async def work(session):
                await wallet.hold(
                    session, account_id=self.account, rental_id=rental, rate=rate, at=self.now, actor="test"
                )

            return work

        results = self.together(*map(holding, rentals, rates))
        refused = [result for result in results if isinstance(result, wallet.InsufficientBalance)]
        self.rentals += [rental for rental, result in zip(rentals, results, strict=True) if result is None]
        works = [wallet.asking_after(error, account_id=self.account, at=self.now) for error in refused]
        if works:
            self.together(*works)

    @rule()
    @precondition(lambda self: self.rentals)
    def stop(self):
        rental = self.rentals.pop(0)

        async def work(session):
            at = {"at": self.now, "billable_until": self.now}
            await wallet.close(session, account_id=self.account, rental_id=rental, **at)

        self.together(work)

    @rule(pause=pauses)
    def wait(self, pause):
        self.now += pause
        self.sweep()

    @rule(coming=outcomes)
    def charge(self, coming):
        self.charge_as(coming)

    def charge_as(self, coming):
        """The worker goes on for a while: whenever nothing is open, it waits for the rule's own wait to end."""
        for outcome in coming:
            if self.open is None:
                self.drain()
                if self.rule and self.rule.state in ("cooling", "backing_off") and self.rule.until:
                    self.now = max(self.now, self.rule.until)
                self.sweep()
            if self.open is not None:
                self.send()
                getattr(self, outcome)(self.open)

    def drain(self):
        """Something begins that takes everything there is."""
        rate = self.balance.available

        async def work(session):
            rental = RentalId.new()
            await wallet.hold(session, account_id=self.account, rental_id=rental, rate=rate, at=self.now, actor="test")

        if rate:
            self.together(work)

    @rule(
        happening=st.sampled_from(["contest", "detach", "turn_off", "resume", "resume", "pay_by_hand", "pay_by_hand"])
    )
    def change_everything(self, happening):
        getattr(self, happening)()

    def sweep(self):
        async def work(session):
            await wallet.reconsider(session, account_id=self.account, trigger=Trigger.SWEEP, at=self.now)

        self.together(work)

    def send(self):
        async def work(session):
            locked = await refills.lock_attempt(session, account_id=self.account, attempt_id=self.open.id)
            await refills.begin_try(session, locked, params={}, at=self.now, next_at=self.now)

        self.together(work)

    # -- how a charge goes ---------------------------------------------------------------------------------------

    def silence(self, attempt):
        async def work(session):
            await refills.keep(session, attempt, state=AttemptState.UNKNOWN, at=self.now)

        self.together(work)

    def none(self, attempt):
        async def work(session):
            await refills.give_up(session, attempt, reason="unresolved", at=self.now)

        self.together(work)

    def pays(self, attempt):
        payment_id = PaymentId.new()

        async def work(session):
            key = f"payment:{attempt.id}"
            paid = Movement(self.account, Kind.AUTO_TOPUP, attempt.amount, key, self.now, reference=payment_id)
            await wallet.receive(session, paid)
            await refills.succeed(
                session,
                account_id=self.account,
                attempt_id=attempt.id,
                payment_id=payment_id,
                payment_intent_id=f"pi_{attempt.id}",
                at=self.now,
            )

        self.in_a_row[attempt.card_fingerprint] = 0
        self.together(work, work)

    def no_funds(self, attempt, code="insufficient_funds"):
        async def work(session):
            await refills.decline(
                session, attempt, decline_code=code, advice_code=None, payment_intent_id=None, at=self.now
            )

        if self.rule.card is not None and self.rule.card.fingerprint == attempt.card_fingerprint:
            self.in_a_row[attempt.card_fingerprint] += 1
        self.together(work)

    def lost_card(self, attempt):
        self.no_funds(attempt, "lost_card")
        self.in_a_row[attempt.card_fingerprint] = 3

    def owner(self, attempt):
        async def work(session):
            await refills.need_action(session, attempt, checkout_id=None, url=None, at=self.now)

        self.together(work)

    # -- what people do ------------------------------------------------------------------------------------------

    def resume(self):
        async def work(session):
            return await refills.resume(session, account_id=self.account, actor="test", at=self.now)

        [result] = self.together(work)
        if result is not None and not isinstance(result, InvalidState):
            self.in_a_row[result.card.fingerprint] = 2

    def pay_by_hand(self):
        async def work(session):
            await refills.note_payment_by_hand(session, account_id=self.account, fingerprint="f-3", at=self.now)

        self.together(work)
        self.in_a_row = Counter({known: min(n, 2) for known, n in self.in_a_row.items()})
        self.in_a_row["f-3"] = 0

    def contest(self):
        async def work(session):
            await refills.suspend(session, account_id=self.account, reason=Reason.DISPUTE, at=self.now)

        self.together(work)

    def detach(self):
        async def work(session):
            for card in CARDS[1:]:
                await refills.note_detached_card(
                    session, account_id=self.account, payment_method_id=card.payment_method_id, at=self.now
                )

        self.together(work)

    def turn_off(self):
        async def work(session):
            await refills.turn_off(session, account_id=self.account, actor="test", at=self.now)
            await wallet.watch(session, account_id=self.account)

        self.together(work)

    # -- what is always so ---------------------------------------------------------------------------------------

    @invariant()
    @precondition(lambda self: self.balance)
    def what_is_on_its_way_is_told(self):
        assert self.balance.incoming == sum(attempt.amount for attempt in self.attempts if attempt.is_open)

    @invariant()
    @precondition(lambda self: self.rule and self.rule.state in ("off", "suspended"))
    def nothing_unsent_is_left_where_nothing_may_be_charged(self):
        assert self.open is None or self.open.state is not AttemptState.CREATED


def test_the_cap_holds_at_every_instant_whatever_happens(databases):
    run_machine(RefillMachine, databases, max_examples=7, stateful_step_count=20, derandomize=True)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_the_cap_holds_over_a_hundred_thousand_steps(databases):
    run_machine(RefillMachine, databases, max_examples=1_500, stateful_step_count=70)
