"""A lot of credit, and an account's book of lots up to one transfer. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from app.kit.ids import LotId

PROMO, ADJUSTMENT, PAID = "promo", "adjustment", "paid"
DEFAULT_PRIORITY: Final = 100
_CLASSES: Final = {PROMO: 0, ADJUSTMENT: 1, PAID: 2}
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class Lot:
    """Credit that came in at once, in micro-dollars, and what has become of it."""

    id: LotId
    source: str
    """``promo``, ``adjustment`` or ``paid``."""
    reference: str | None
    """The payment that it came from, or what the grant was given for."""
    granted: int
    remaining: int = 0
    """May be spent, or is held for rentals."""
    spent: int = 0
    aside: int = 0
    """Held for a refund or a dispute."""
    withheld: int = 0
    """Taken away while something is owed; granted again afterwards."""
    priority: int = DEFAULT_PRIORITY
    expires_at: datetime | None = None
    opened_seq: int = 0
    """The transfer that brought it; 0 for a grant, which is there before its transfer."""

    @property
    def order(self) -> tuple[int, int, datetime, int, str]:
        """Where it stands among what is spent: the smallest first."""
        if self.source == PROMO:
            return (0, self.priority, self.expires_at or _NEVER, 0, self.id)
        return (_CLASSES[self.source], 0, _NEVER, self.opened_seq, self.id)


class Counted(NamedTuple):
    """A transfer as the fold sees it. Usage between two others may come as one sum."""

    seq: int
    id: str
    kind: str
    debit: str
    credit: str
    amount: int
    reference: str | None


@dataclass(slots=True)
class Book:
    """An account's lots up to one transfer. ``lent`` is held and ``lent_spent`` was used without being paid for yet."""

    seq: int = 0
    owed: int = 0
    lent: int = 0
    lent_spent: int = 0
    lots: list[Lot] = field(default_factory=list)

    @property
    def promo(self) -> list[Lot]:
        """What is left of promotional credit, in the order in which it is spent."""
        return sorted((lot for lot in self.lots if lot.source == PROMO and lot.remaining), key=lambda lot: lot.order)

    @property
    def promo_left(self) -> int:
        """How much promotional credit is left, held for rentals or not."""
        return sum(lot.remaining for lot in self.lots if lot.source == PROMO)

    @property
    def aside(self) -> int:
        """How much is held for refunds and disputes."""
        return sum(lot.aside for lot in self.lots)

    def left_of(self, reference: str) -> int:
        """Return what is left of a payment, neither spent nor held for a refund or a dispute."""
        return sum(lot.remaining for lot in self.lots if lot.source == PAID and lot.reference == reference)

    def unheld_promo(self, held: int) -> list[tuple[Lot, int]]:
        """Return what of the promotional credit is not held, where rentals hold so much: they hold the first in order."""
        found = []
        for lot in self.promo:
            free = max(0, lot.remaining - held)
            held = max(0, held - lot.remaining)
            if free:
                found.append((lot, free))
        return found
