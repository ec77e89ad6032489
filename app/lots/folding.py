"""The fold: what is left of each lot of credit, from the ledger's transfers alone. Pure.

Every micro-dollar on a wallet, held for a reversal or spent belongs to one lot, or is lent: while something is owed, the
rest of what is held and was used is paid by nobody yet. Usage takes promotional credit first (by priority, then by what
expires first), then adjustments, then payments, the oldest first. What is given back for usage goes to the last in that
order that was used, as if it had never been spent. A reversed payment gives its own money first; where that is spent,
another lot gives and takes over what was bought with it, as if the reversed payment had never been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from app.kit.ids import LotId
from app.ledger import Bucket, Kind
from app.lots.books import ADJUSTMENT, PAID, PROMO, Book, Counted, Lot

_HOLDS = frozenset({Kind.REFUND_HOLD, Kind.DISPUTE_HOLD})
_RELEASES = frozenset({Kind.REFUND_RELEASE, Kind.DISPUTE_RELEASE})
_REVERSED = frozenset({Kind.REFUND, Kind.DISPUTE_DEBIT})
_BROUGHT = frozenset({Bucket.FUNDING, Bucket.PROMO, Bucket.ADJUSTMENT})


def fold(book: Book, transfers: Iterable[Counted], *, payments: Mapping[str, str]) -> Book:
    """Return the book after some transfers, which follow it in order.

    Args:
        book: left as it was.
        transfers: the ledger's, after ``book.seq``; moves between available and a rental's hold may be left out.
        payments: of which payment each refund or dispute is, by their ids.
    """
    folding = _Folding(book, payments)
    for transfer in transfers:
        folding.take(transfer)
    return folding.book


class _Folding:
    def __init__(self, book: Book, payments: Mapping[str, str]) -> None:
        self.book = replace(book, lots=sorted((replace(lot) for lot in book.lots), key=lambda lot: lot.order))
        self._payments = payments

    def take(self, moved: Counted) -> None:
        self.book.seq = moved.seq
        self._book_of(moved)(moved)

    def _book_of(self, moved: Counted) -> Callable[[Counted], None]:  # noqa: PLR0911 - one line for each way of money
        if moved.credit == Bucket.OWED:
            return self._repaid
        if moved.debit == Bucket.OWED:
            return self._lend
        if moved.credit == Bucket.SPEND:
            return self._use
        if moved.debit == Bucket.SPEND:
            return self._unuse
        if moved.debit in _BROUGHT:
            return self._add
        if moved.credit == Bucket.FUNDING:
            return self._finish if moved.kind in _REVERSED else self._take_back
        if moved.credit in _BROUGHT:
            return self._withdraw
        return self._hold_or_release

    # -- what every account does ---------------------------------------------------------------------------------

    def _add(self, moved: Counted) -> None:
        lot = self._lot_of(moved)
        lot.remaining += moved.amount
        self._count_granted(lot, moved)

    def _count_granted(self, lot: Lot, moved: Counted) -> None:
        """A payment may come in parts, of which one pays a debt. What comes back was granted before."""
        if lot.source != PROMO and self._own(moved) is None:
            lot.granted += moved.amount
        else:
            lot.granted = max(lot.granted, lot.remaining + lot.spent + lot.aside)

    def _use(self, moved: Counted) -> None:
        left = moved.amount
        for lot in self.book.lots:
            used = min(lot.remaining, left)
            lot.remaining, lot.spent, left = lot.remaining - used, lot.spent + used, left - used
        self._move_lent(left)

    def _move_lent(self, used: int) -> None:
        used = min(self.book.lent, used)
        self.book.lent, self.book.lent_spent = self.book.lent - used, self.book.lent_spent + used

    def _unuse(self, moved: Counted) -> None:
        left = moved.amount
        for lot in reversed(self.book.lots):
            back = min(lot.spent, left)
            lot.remaining, lot.spent, left = lot.remaining + back, lot.spent - back, left - back

    def _withdraw(self, moved: Counted) -> None:
        """Promotional credit that expires or is withheld, or an adjustment the other way."""
        left = moved.amount
        named = [lot for lot in self.book.lots if lot.id == moved.reference]
        plain = [lot for lot in self.book.lots if (lot.source == PROMO) == (moved.credit == Bucket.PROMO)]
        for lot in (*named, *plain, *self.book.lots):
            taken = min(lot.remaining, left)
            lot.remaining, left = lot.remaining - taken, left - taken

    # -- reversals -----------------------------------------------------------------------------------------------

    def _hold_or_release(self, moved: Counted) -> None:
        own = self._own(moved)
        if moved.kind in _HOLDS:
            self._give(moved.amount, own, to_aside=True)
        elif moved.kind in _RELEASES:
            left = moved.amount
            for lot in self._own_first(own):
                back = min(lot.aside, left)
                lot.remaining, lot.aside, left = lot.remaining + back, lot.aside - back, left - back

    def _take_back(self, moved: Counted) -> None:
        self._give(moved.amount, self._own(moved), to_aside=False)

    def _finish(self, moved: Counted) -> None:
        self._drop_aside(moved.amount, self._own(moved))

    def _drop_aside(self, left: int, own: Lot | None) -> None:
        for lot in self._own_first(own):
            gone = min(lot.aside, left)
            lot.aside, left = lot.aside - gone, left - gone

    def _give(self, left: int, own: Lot | None, *, to_aside: bool) -> None:
        """Take credit for a reversal of ``own``; where another gives, it takes over what ``own`` was spent on."""
        for lot in self._own_first(own):
            given = min(lot.remaining, left)
            lot.remaining, left = lot.remaining - given, left - given
            swapped = min(own.spent, given) if own is not None and lot is not own else 0
            if own is not None and swapped:
                own.spent, lot.spent, own.aside = (
                    own.spent - swapped,
                    lot.spent + swapped,
                    own.aside + swapped * to_aside,
                )
            lot.aside += (given - swapped) * to_aside

    # -- debt ----------------------------------------------------------------------------------------------------

    def _lend(self, moved: Counted) -> None:
        book, left = self.book, moved.amount
        book.owed += left
        for lot in self._own_first(self._own(moved)):
            if lot.source != PROMO:
                held = min(lot.remaining, left)
                used = min(lot.spent, left - held)
                lot.remaining, lot.spent, left = lot.remaining - held, lot.spent - used, left - held - used
                book.lent, book.lent_spent = book.lent + held, book.lent_spent + used

    def _repaid(self, moved: Counted) -> None:
        book = self.book
        book.owed -= moved.amount
        if moved.debit == Bucket.SPEND:
            self._repaid_by_usage(moved.amount)
        elif moved.debit == Bucket.RESERVED and self._own(moved) is None:
            self._repaid_by_hold(moved.amount)
        else:
            if moved.debit == Bucket.RESERVED:
                self._drop_aside(moved.amount, self._own(moved))
            lot = self._lot_of(moved)
            self._take_over(lot, moved.amount)
            self._count_granted(lot, moved)

    def _take_over(self, lot: Lot, left: int) -> None:
        """Let a lot pay the debt: what was lent is its own from now on, what was spent first."""
        book = self.book
        used = min(book.lent_spent, left)
        held = min(book.lent, left - used)
        book.lent_spent, book.lent = book.lent_spent - used, book.lent - held
        lot.spent, lot.remaining = lot.spent + used, lot.remaining + held

    def _repaid_by_hold(self, left: int) -> None:
        """What a rental gave back pays: what was lent to it first, then payments before promotions."""
        book = self.book
        back = min(book.lent, left)
        book.lent, left = book.lent - back, left - back
        for lot in self._own_first(None):
            paid = min(lot.remaining, left)
            used = min(book.lent_spent, paid)
            lot.remaining, lot.spent, left = lot.remaining - paid, lot.spent + used, left - paid
            book.lent_spent -= used

    def _repaid_by_usage(self, left: int) -> None:
        """Usage that is given back pays: what was lent for it first."""
        book = self.book
        back = min(book.lent_spent, left)
        book.lent_spent, left = book.lent_spent - back, left - back
        for lot in reversed(book.lots):
            unused = min(lot.spent, left)
            held = min(book.lent, unused)
            lot.spent, lot.remaining, left = lot.spent - unused, lot.remaining + held, left - unused
            book.lent -= held

    # -- which lot -----------------------------------------------------------------------------------------------

    def _own(self, moved: Counted) -> Lot | None:
        """The lot of the payment that a refund or a dispute is of."""
        payment = self._payments.get(moved.reference or "")
        if payment is None:
            return None
        return next((lot for lot in self.book.lots if lot.source == PAID and lot.reference == payment), None)

    def _own_first(self, own: Lot | None) -> list[Lot]:
        """A reversed payment's lot, then adjustments and payments as they are spent; promotions at the very last."""
        others = [lot for lot in self.book.lots if lot is not own]
        others.sort(key=lambda lot: lot.source == PROMO)
        return others if own is None else [own, *others]

    def _lot_of(self, moved: Counted) -> Lot:
        """The lot that money comes into: found by what it refers to, or opened."""
        if (own := self._own(moved)) is not None:
            return own
        source = _SOURCES.get(moved.debit, PAID)
        for lot in self.book.lots:
            if moved.reference and (
                lot.id == moved.reference or (lot.source, lot.reference) == (PAID, moved.reference)
            ):
                return lot
        lot = Lot(LotId(f"lot_{moved.id.partition('_')[2]}"), source, moved.reference, 0, opened_seq=moved.seq)
        self.book.lots.append(lot)
        self.book.lots.sort(key=lambda lot: lot.order)
        return lot


_SOURCES: Final[Mapping[str, str]] = {Bucket.PROMO: PROMO, Bucket.ADJUSTMENT: ADJUSTMENT}
