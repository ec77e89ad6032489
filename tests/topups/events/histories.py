"""Random histories of card money: what happens at Stripe, and what of it is heard of here, when and how often."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import strategies as st

from app import ledger
from app.kit.db import driver
from app.kit.ids import AccountId
from app.ledger import Kind, Movement
from app.ledger import invariants as ledger_invariants
from app.sandbox.answers import Refusal
from app.topups.books.comparing import lines
from app.topups.books.ledger import read_books
from app.topups.events.sweeping import sweep
from app.wallet import invariants as wallet_invariants
from app.wallet.noticing import notice
from tests.topups.events.worlds import CENT, World

PAYMENTS_MAX = 3

_which = st.integers(0, 9)
_part = st.integers(1, 100)

_pay = st.tuples(st.just("pay"), st.integers(100, 20_000))
_by_bank = st.tuples(st.just("pay_by_bank"), st.integers(100, 20_000))
_settle = st.tuples(st.just("settle"), _which, st.booleans())
_refund = st.tuples(st.just("refund"), _which, _part)
_fail_refund = st.tuples(st.just("fail_refund"), _which)
_dispute = st.tuples(st.just("dispute"), _which, _part, st.booleans())
_escalate = st.tuples(st.just("escalate"), _which)
_close = st.tuples(st.just("close"), _which, st.booleans())
_hear = st.tuples(st.just("hear"), st.integers(0, 2**32))

STEPS = st.lists(
    st.one_of(
        _hear, _refund, _dispute, _close, _fail_refund, _pay, _by_bank, _settle, _escalate, _hear, _refund, _dispute,
        _close,
    ),
    min_size=8,
    max_size=16,
)  # fmt: skip
"""What happens after a first payment; a step that Stripe refuses does not happen."""


@dataclass
class Tally:
    """How much was tried."""

    histories: int = 0
    deliveries: int = 0
    """Orders in which a stream of events was told."""
    told: int = 0
    repeated: int = 0
    lost: int = 0
    steps: Counter = field(default_factory=Counter)

    def __str__(self) -> str:
        done = ", ".join(f"{count} {step}" for step, count in sorted(self.steps.items()))
        return (
            f"{self.histories} histories ({done}); {self.deliveries} orders of delivery, {self.told} events told, "
            f"{self.repeated} of them again, {self.lost} lost and swept"
        )


@dataclass
class History:
    """One account's payments as they happen at Stripe and are heard of here."""

    world: World
    account: AccountId
    tally: Tally
    first_event: int = 0
    spent: int = 0
    heard: set = field(default_factory=set)
    sessions: list = field(default_factory=list)

    # What happens at Stripe

    async def step(self, name: str, *values) -> None:
        """Let one thing happen, if Stripe lets it, a second after the one before: Stripe's times are whole seconds."""
        self.world.clock.move(seconds=1)
        try:
            happened = await getattr(self, f"_{name}")(*values)
        except Refusal:
            happened = False
        if happened is not False:
            self.tally.steps[name] += 1

    async def _pay(self, cents, card="4242424242424242"):
        if len(self.sessions) == PAYMENTS_MAX:
            return False
        row = await self.world.checkout(self.account, cents)
        await self.world.stripe.pay(row.session_id, card)
        self.sessions.append(row.session_id)
        return True

    async def _pay_by_bank(self, cents):
        return await self._pay(cents, "bank")

    async def _settle(self, which, ok):
        under_way = {one["id"] for one in self.payments() if one["status"] == "processing"}
        sessions = [one for one in self.sessions if self._session(one)["payment_intent"] in under_way]
        return self.world.stripe.settle_async(pick(sessions, which), ok=ok) if sessions else False

    def _session(self, session_id):
        return self.world.stripe.books.store.get("checkout.session", session_id)

    async def _refund(self, which, part):
        payment = pick(self.payments(), which)
        rest = self._left(payment)
        if rest < 1:
            return False
        return self.world.stripe.refund(payment["id"], max(1, rest * part // 100))

    async def _fail_refund(self, which):
        refunds = [one for one in self._mine("refund") if one["status"] != "failed"]
        return self.world.stripe.settle_refund(pick(refunds, which)["id"], ok=False) if refunds else False

    async def _dispute(self, which, part, inquiry):
        payment = pick(self.payments(), which)
        rest = self._left(payment)
        if rest < 1:
            return False
        return self.world.stripe.dispute(payment["id"], amount=max(1, rest * part // 100), inquiry=inquiry)

    async def _escalate(self, which):
        disputes = [one for one in self._mine("dispute") if one["status"].startswith("warning_needs")]
        return self.world.stripe.escalate(pick(disputes, which)["id"]) if disputes else False

    async def _close(self, which, won):
        disputes = [one for one in self._mine("dispute") if one["status"].endswith("needs_response")]
        return self.world.stripe.close_dispute(pick(disputes, which)["id"], won=won) if disputes else False

    def payments(self):
        """The payments at Stripe, oldest first."""
        store = self.world.stripe.books.store
        return [one for one in store.all("payment_intent") if one["metadata"].get("account_id") == self.account]

    def _mine(self, kind):
        mine = {one["id"] for one in self.payments()}
        return [one for one in self.world.stripe.books.store.all(kind) if one["payment_intent"] in mine]

    def _left(self, payment):
        """What is neither refunded nor contested of a payment, in cents."""
        refunded = sum(one["amount"] for one in self._of("refund", payment) if one["status"] != "failed")
        open_or_lost = [one for one in self._of("dispute", payment) if one["status"] not in ("won", "warning_closed")]
        return payment["amount_received"] - refunded - sum(one["amount"] for one in open_or_lost)

    def _of(self, kind, payment):
        return [one for one in self._mine(kind) if one["payment_intent"] == payment["id"]]

    # What is heard of it here

    def events(self):
        """What Stripe has to tell of this history, oldest first."""
        return self.world.events()[self.first_event :]

    async def _hear(self, seed):
        """Hear of some of what is not heard of yet, in any order, some of it twice, and look into it."""
        rng = random.Random(seed)
        unheard = [event for event in self.events() if event["id"] not in self.heard]
        await self._told([event for event in unheard if rng.random() < 0.5], rng)

    async def spend(self, part):
        """Spend of what is there once everything has been heard of: so it does not depend on what was heard."""
        await self.catch_up(random.Random(0))
        async with self.world.tools.db.begin_unscoped() as session:
            amount = (await ledger.lock_wallet(session, self.account)).available * part // 100
            if not amount:
                return
            key, at = f"spent:{self.spent}", self.world.clock.now()
            movement = Movement(self.account, Kind.ADJUSTMENT_DEBIT, amount, key, at, actor="test", description="spent")
            await ledger.post(session, movement)
            await notice(session, [self.account], at=at)
        self.spent += amount
        self.tally.steps["spend"] += 1

    async def catch_up(self, rng):
        """Hear of everything: some of it by messages, again too, in any order; what was lost by the sweep."""
        told = [event for event in self.events() if rng.random() < 0.6]
        await self._told(told, rng)
        lost = [event for event in self.events() if event["id"] not in self.heard]
        swept = await sweep(self.world.tools.db, self.world.tools.stripe, at=self.world.clock.now())
        assert swept.new >= len(lost)
        self.heard |= {event["id"] for event in lost}
        self.tally.lost += len(lost)
        await self.world.handle()

    async def replay(self, rng):
        """Look into everything again, as if it were new, a few at a time and in another order."""
        names = [event["id"] for event in self.events()]
        rng.shuffle(names)
        for start in range(0, len(names), 5):
            async with self.world.tools.db.begin_unscoped() as session:
                again = "UPDATE stripe_events SET state = 'new', next_at = received_at WHERE id = ANY($1)"
                await driver(session).execute(again, names[start : start + 5])
            await self.world.handle()
        self.tally.deliveries += 1

    async def _told(self, events, rng):
        stream = events + [event for event in events if rng.random() < 0.3]
        rng.shuffle(stream)
        cut = rng.randrange(len(stream) + 1)
        for part in (stream[:cut], stream[cut:]):
            await self.world.tell(*part)
            await self.world.handle()
        self.heard |= {event["id"] for event in events}
        self.tally.deliveries += 1
        self.tally.told += len(stream)
        self.tally.repeated += len(stream) - len(events)

    # What must be so in the end

    def worth(self):
        """What Stripe has of the payments, in micro-dollars."""
        truth = {one.id: one for one in self.world.stripe.truth().payments}
        return sum(max(0, truth[one["id"]].kept) for one in self.payments()) * CENT

    def effects(self):
        """The rows that must stand in the ledger when nothing was spent: kind and amount."""
        found = Counter()
        for payment in self.payments():
            if payment["amount_received"]:
                found["deposit", payment["amount_received"] * CENT] += 1
        for refund in self._mine("refund"):
            found["clawback", refund["amount"] * CENT] += 1
            if refund["status"] == "failed":
                found["refund_reversal", refund["amount"] * CENT] += 1
        for dispute in self._mine("dispute"):
            for moved in dispute["balance_transactions"]:
                if moved["amount"] < 0:
                    found["dispute_hold", -moved["amount"] * CENT] += 1
                    found["dispute_debit", -moved["amount"] * CENT] += 1
                else:
                    found["dispute_reversal", moved["amount"] * CENT] += 1
        return found

    async def rows(self):
        """The rows of the ledger that card money made."""
        return [row for row in await self.world.ledger(self.account) if row[2] in ("pay", "rfd", "dsp")]

    async def check(self):
        """Balances are Stripe's truth less what was spent; every payment agrees object by object; rooms' invariants hold."""
        available, reserved, owed = await self.world.money(self.account)
        total = self.worth() - self.spent
        assert (available, reserved, owed) == (max(total, 0), 0, max(-total, 0)), (available, reserved, owed, total)
        for payment in self.payments():
            facts = await self.world.tools.stripe.get_payment(payment["id"])
            async with self.world.tools.db.begin_unscoped() as session:
                books = await read_books(session, payment["id"])
            differing = [line for line in lines(payment["id"], facts, books) if not line.agrees]
            assert not differing, differing
        async with self.world.tools.db.begin_unscoped() as session:
            for invariants in (ledger_invariants, wallet_invariants):
                broken = await invariants.broken_for(session, [self.account])
                assert not broken, broken


async def begin(world: World, tally: Tally) -> History:
    """Begin a history in an account of its own, later than every history before it."""
    world.clock.move(hours=1)
    account = await world.account()
    return History(world, account, tally, first_event=len(world.events()))


def pick(found, which):
    """One of some, whichever number is named."""
    return found[which % len(found)]
