"""The fold of transfers into lots: which credit is spent first, and that every micro-dollar has its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from app.kit.ids import LotId
from app.ledger import ENTRIES, Bucket, Kind
from app.lots import Book, Counted, Lot, fold

JANUARY, JUNE = datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 6, 1, tzinfo=UTC)


@dataclass
class Ledger:
    """Writes transfers as the ledger would, and keeps its three balances."""

    transfers: list[Counted] = field(default_factory=list)
    available: int = 0
    rentals: int = 0
    aside: int = 0
    owed: int = 0
    usage: int = 0

    @property
    def seq(self) -> int:
        return len(self.transfers)

    def post(self, kind, amount, reference=None, *, paid_from=None):
        if not amount:
            return
        debit, credit = ENTRIES[kind]
        debit = paid_from or debit
        self.transfers.append(Counted(self.seq + 1, f"led_{self.seq + 1:026}", kind, debit, credit, amount, reference))
        held = "aside" if reference else "rentals"
        for bucket, sign in ((debit, -1), (credit, 1)):
            match bucket:
                case Bucket.AVAILABLE:
                    self.available += sign * amount
                case Bucket.RESERVED:
                    setattr(self, held, getattr(self, held) + sign * amount)
                case Bucket.OWED:
                    self.owed -= sign * amount
                case Bucket.SPEND:
                    self.usage += sign * amount
        assert min(self.available, self.rentals, self.aside, self.owed) >= 0
        assert not (self.owed and self.available)

    def inflow(self, kind, amount, reference=None):
        repaid = min(self.owed, amount)
        self.post(Kind.DEBT_REPAID, repaid, reference, paid_from=ENTRIES[kind][0])
        self.post(kind, amount - repaid, reference)

    def take(self, kind, amount, reference):
        taken = min(self.available, amount)
        self.post(kind, taken, reference)
        self.post(Kind.DEBT_INCURRED, amount - taken, reference)

    def use(self, amount):
        """Reserve and use at once."""
        self.post(Kind.RESERVE, amount)
        self.post(Kind.USAGE, amount)


def promo(granted, *, priority=100, expires_at=None):
    return Lot(LotId.new(), "promo", None, granted, priority=priority, expires_at=expires_at)


def folded(ledger, *lots, payments=None):
    return fold(Book(lots=list(lots)), ledger.transfers, payments=payments or {})


def left(book):
    return {lot.reference or lot.id: lot.remaining for lot in book.lots}


def test_promotions_go_first_by_priority_then_by_expiry_then_adjustments_then_payments_in_turn():
    ledger = Ledger()
    lots = [
        promo(1),
        promo(1, expires_at=JUNE),
        promo(1, expires_at=JANUARY),
        promo(1, priority=5, expires_at=JUNE),
    ]
    ledger.post(Kind.DEPOSIT, 1, "pay_1")
    ledger.post(Kind.DEPOSIT, 1, "pay_2")
    ledger.post(Kind.ADJUSTMENT_CREDIT, 1)
    for lot in lots:
        ledger.post(Kind.PROMO_GRANT, 1, lot.id)
    emptied = []
    for _ in range(7):
        before = left(folded(ledger, *lots))
        ledger.use(1)
        after = left(folded(ledger, *lots))
        emptied += [name for name in before if before[name] and not after[name]]
    assert emptied[:4] == [lots[3].id, lots[2].id, lots[1].id, lots[0].id]
    assert emptied[5:] == ["pay_1", "pay_2"]


def test_what_is_granted_later_is_spent_first_only_from_then_on():
    ledger, lot = Ledger(), promo(5)
    ledger.post(Kind.DEPOSIT, 10, "pay_1")
    ledger.use(4)
    ledger.post(Kind.PROMO_GRANT, 5, lot.id)
    ledger.use(6)
    assert left(folded(ledger, lot)) == {lot.id: 0, "pay_1": 5}


def test_usage_given_back_returns_to_the_last_that_was_used():
    ledger, lot = Ledger(), promo(5)
    ledger.post(Kind.PROMO_GRANT, 5, lot.id)
    ledger.post(Kind.DEPOSIT, 10, "pay_1")
    ledger.use(8)
    ledger.inflow(Kind.HOST_FAULT_REFUND, 4)
    assert left(folded(ledger, lot)) == {lot.id: 1, "pay_1": 10}


def test_a_payment_in_two_parts_is_one_lot_of_which_one_part_paid_a_debt():
    ledger = Ledger()
    ledger.post(Kind.DEPOSIT, 10, "pay_1")
    ledger.use(10)
    ledger.take(Kind.CLAWBACK, 10, "rfd_1")
    ledger.inflow(Kind.DEPOSIT, 25, "pay_2")
    book = folded(ledger, payments={"rfd_1": "pay_1"})
    second = next(lot for lot in book.lots if lot.reference == "pay_2")
    assert (second.granted, second.remaining, second.spent) == (25, 15, 10)
    assert book.left_of("pay_1") == 0
    assert (book.owed, book.lent, book.lent_spent) == (0, 0, 0)


def test_a_reversed_payment_gives_its_own_money_first():
    ledger = Ledger()
    ledger.post(Kind.DEPOSIT, 10, "pay_1")
    ledger.post(Kind.DEPOSIT, 10, "pay_2")
    ledger.take(Kind.CLAWBACK, 10, "rfd_1")
    assert left(folded(ledger, payments={"rfd_1": "pay_2"})) == {"pay_1": 10, "pay_2": 0}


def test_where_the_reversed_money_is_spent_another_payment_takes_over_what_was_bought():
    ledger = Ledger()
    ledger.post(Kind.DEPOSIT, 10, "pay_1")
    ledger.post(Kind.DEPOSIT, 10, "pay_2")
    ledger.use(10)
    ledger.take(Kind.CLAWBACK, 10, "rfd_1")
    book = folded(ledger, payments={"rfd_1": "pay_1"})
    assert [(lot.reference, lot.remaining, lot.spent) for lot in book.lots] == [("pay_1", 0, 0), ("pay_2", 0, 10)]


def test_what_is_held_for_a_refund_is_spent_by_nobody_and_comes_back_whole():
    ledger, tied = Ledger(), {"rfd_1": "pay_1"}
    ledger.post(Kind.DEPOSIT, 10, "pay_1")
    ledger.post(Kind.DEPOSIT, 10, "pay_2")
    ledger.post(Kind.REFUND_HOLD, 10, "rfd_1")
    ledger.use(4)
    assert left(folded(ledger, payments=tied)) == {"pay_1": 0, "pay_2": 6}
    ledger.inflow(Kind.REFUND_RELEASE, 10, "rfd_1")
    assert left(folded(ledger, payments=tied)) == {"pay_1": 10, "pay_2": 6}


def test_a_lost_dispute_of_spent_money_leaves_a_debt_that_a_rentals_hold_repays():
    ledger, tied = Ledger(), {"dsp_1": "pay_1"}
    ledger.post(Kind.DEPOSIT, 10, "pay_1")
    ledger.post(Kind.DEPOSIT, 5, "pay_2")
    ledger.post(Kind.RESERVE, 15)
    ledger.post(Kind.USAGE, 3)
    ledger.take(Kind.CLAWBACK, 10, "dsp_1")
    ledger.inflow(Kind.RELEASE, 12)
    book = folded(ledger, payments=tied)
    assert (ledger.available, ledger.owed) == (2, 0)
    assert left(book) == {"pay_1": 0, "pay_2": 2}


def test_promotions_that_no_hold_needs_are_the_last_in_order():
    ledger = Ledger()
    first, second = promo(5, priority=1), promo(5, priority=2, expires_at=JANUARY)
    ledger.post(Kind.PROMO_GRANT, 5, first.id)
    ledger.post(Kind.PROMO_GRANT, 5, second.id)
    book = folded(ledger, first, second)
    assert [(lot.id, free) for lot, free in book.unheld_promo(6)] == [(second.id, 4)]
    assert book.unheld_promo(10) == []
    assert sum(free for _, free in book.unheld_promo(0)) == 10


# -- any history --------------------------------------------------------------------------------------------------

amounts = st.integers(1, 20)


@dataclass
class History:
    ledger: Ledger = field(default_factory=Ledger)
    lots: list[Lot] = field(default_factory=list)
    payments: dict[str, str] = field(default_factory=dict)
    credited: dict[str, int] = field(default_factory=dict)
    reversed: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)

    def live(self, step, amount, n):
        getattr(self, step)(amount, n)

    def deposit(self, amount, n):
        name = f"pay_{len(self.credited)}"
        self.credited[name], self.reversed[name] = amount, 0
        self.ledger.inflow(Kind.DEPOSIT, amount, name)

    def adjust(self, amount, n):
        self.ledger.inflow(Kind.ADJUSTMENT_CREDIT, amount)

    def debit(self, amount, n):
        self.ledger.post(Kind.ADJUSTMENT_DEBIT, min(amount, self.ledger.available))

    def promote(self, amount, n):
        if not self.ledger.owed:
            lot = promo(amount, priority=n % 3)
            self.lots.append(lot)
            self.ledger.post(Kind.PROMO_GRANT, amount, lot.id)

    def expire(self, amount, n):
        if self.lots:
            lot = self.lots[n % len(self.lots)]
            book = folded(self.ledger, *self.lots, payments=self.payments)
            left = next(found for found in book.lots if found.id == lot.id).remaining
            self.ledger.post(Kind.PROMO_EXPIRY, min(amount, left, self.ledger.available), lot.id)

    def reserve(self, amount, n):
        self.ledger.post(Kind.RESERVE, min(3 * amount, self.ledger.available))

    def use(self, amount, n):
        self.ledger.post(Kind.USAGE, min(amount, self.ledger.rentals))

    def release(self, amount, n):
        self.ledger.inflow(Kind.RELEASE, min(amount, self.ledger.rentals))

    def unuse(self, amount, n):
        self.ledger.inflow(Kind.HOST_FAULT_REFUND, min(amount, self.ledger.usage))

    def claw(self, amount, n):
        if self.credited and (found := self.room(amount, n)):
            amount, reference = found
            self.ledger.take(Kind.CLAWBACK, amount, reference)

    def hold(self, amount, n):
        if self.credited and (found := self.room(amount, n, most=self.ledger.available)):
            amount, reference = found
            self.held[reference] = amount
            self.ledger.post(Kind.REFUND_HOLD, amount, reference)

    def room(self, amount, n, *, most=1_000):
        payment = f"pay_{n % len(self.credited)}"
        amount = min(amount * (1 + n % 3), most, self.credited[payment] - self.reversed[payment])
        if not amount:
            return None
        reference = f"rfd_{len(self.payments)}"
        self.payments[reference] = payment
        self.reversed[payment] += amount
        return amount, reference

    def free(self, amount, n):
        if self.held:
            reference = list(self.held)[n % len(self.held)]
            held = self.held.pop(reference)
            self.reversed[self.payments[reference]] -= held
            self.ledger.inflow(Kind.REFUND_RELEASE, held, reference)

    def finish(self, amount, n):
        if self.held:
            reference = list(self.held)[n % len(self.held)]
            self.ledger.post(Kind.REFUND, self.held.pop(reference), reference)

    def come_back(self, amount, n):
        if self.payments:
            reference = list(self.payments)[n % len(self.payments)]
            payment = self.payments[reference]
            back = min(amount, self.reversed[payment] - sum(self.held.values()))
            if back > 0 and reference not in self.held:
                self.reversed[payment] -= back
                self.ledger.inflow(Kind.REFUND_REVERSAL, back, reference)


# Scarce money: what comes in is soon held and used, so that reversals meet debts.
STEPS = (
    "deposit adjust promote expire reserve reserve use use release unuse claw claw claw hold free finish come_back".split()  # noqa: SIM905 - a list of words
)


def histories(*more):
    return st.lists(
        st.tuples(st.sampled_from([*STEPS, *more]), amounts, st.integers(0, 1_000)), min_size=20, max_size=60
    )


def lived(steps):
    history = History()
    for step in steps:
        history.live(*step)
    return history


@given(histories())
@settings(max_examples=400, deadline=None, derandomize=True)
def test_every_micro_dollar_has_its_place_whatever_happened(steps):
    history = lived(steps)
    ledger, book = history.ledger, folded(history.ledger, *history.lots, payments=history.payments)
    assert sum(lot.remaining for lot in book.lots) + book.lent == ledger.available + ledger.rentals
    assert book.aside == ledger.aside
    assert sum(lot.spent for lot in book.lots) + book.lent_spent == ledger.usage
    assert book.owed == ledger.owed
    assert min(book.lent, book.lent_spent) >= 0
    assert book.lent + book.lent_spent == book.owed
    for lot in book.lots:
        assert min(lot.remaining, lot.spent, lot.aside) >= 0
        assert lot.remaining + lot.spent + lot.aside <= lot.granted


@given(histories("debit"), st.integers(0, 60))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_counting_in_two_goes_is_counting_in_one_and_leaves_the_first_book_alone(steps, cut):
    history = lived(steps)
    transfers, payments = history.ledger.transfers, history.payments
    first = fold(Book(lots=list(history.lots)), transfers[:cut], payments=payments)
    kept = [(lot.id, lot.remaining) for lot in first.lots]
    whole = fold(Book(lots=list(history.lots)), transfers, payments=payments)
    assert fold(first, transfers[cut:], payments=payments) == whole
    assert [(lot.id, lot.remaining) for lot in first.lots] == kept


@given(histories("debit"))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_usage_may_come_in_sums_and_moves_into_rentals_may_be_left_out(steps):
    history = lived(steps)
    summed: list[Counted] = []
    for moved in history.ledger.transfers:
        if summed and moved.kind == Kind.USAGE == summed[-1].kind:
            summed.append(moved._replace(amount=summed.pop().amount + moved.amount))
        elif moved.kind not in (Kind.RESERVE, Kind.RELEASE):
            summed.append(moved)
    whole = folded(history.ledger, *history.lots, payments=history.payments)
    short = fold(Book(lots=list(history.lots)), summed, payments=history.payments)
    assert (short.lots, short.owed, short.lent, short.lent_spent) == (
        whole.lots,
        whole.owed,
        whole.lent,
        whole.lent_spent,
    )


@given(st.lists(amounts, min_size=1, max_size=5), st.integers(0, 60), st.data())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_payment_reversed_whole_is_as_if_it_had_never_been(deposits, used, data):
    """Where enough other money was there, the others stand as if the reversed payment had never come."""
    gone = data.draw(st.integers(0, len(deposits)))
    deposits.insert(gone, data.draw(amounts))
    used = min(used, sum(deposits) - deposits[gone])
    with_it, without = Ledger(), Ledger()
    for n, amount in enumerate(deposits):
        with_it.post(Kind.DEPOSIT, amount, f"pay_{n}")
        if n != gone:
            without.post(Kind.DEPOSIT, amount, f"pay_{n}")
    for ledger in (with_it, without):
        if used:
            ledger.use(used)
    with_it.take(Kind.CLAWBACK, deposits[gone], "rfd_1")
    after = left(folded(with_it, payments={"rfd_1": f"pay_{gone}"}))
    assert after.pop(f"pay_{gone}") == 0
    assert after == left(folded(without))
