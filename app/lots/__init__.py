"""Lots: which credit is spent first, and what is left of each.

Promised: every micro-dollar on a wallet, held for a reversal or spent belongs to one lot, or is lent while something is
owed; promotional credit is spent first (by priority, then by what expires first), then adjustments, then payments, the
oldest first; what is left follows from the ledger's transfers alone. Counted lazily, under the wallet's lock: posting
money knows nothing of lots.
Tables: credit_lots, credit_books (how far an account is counted), reversed_payments (of which payment a refund or a
dispute is). Called by wallet (grants, reversals) and topups (what of a payment may be refunded).
"""

from app.lots.books import DEFAULT_PRIORITY, Book, Counted, Lot
from app.lots.counting import advance, promo_left, tie, unspent
from app.lots.folding import fold
from app.lots.granting import (
    Expiring,
    Grant,
    Withheld,
    find_expiring,
    find_granted,
    forget_expired,
    looked_after,
    open_promo,
    take_withheld,
    withhold,
)

__all__ = [
    "DEFAULT_PRIORITY",
    "Book",
    "Counted",
    "Expiring",
    "Grant",
    "Lot",
    "Withheld",
    "advance",
    "find_expiring",
    "find_granted",
    "fold",
    "forget_expired",
    "looked_after",
    "open_promo",
    "promo_left",
    "take_withheld",
    "tie",
    "unspent",
    "withhold",
]
