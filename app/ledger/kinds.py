"""The kinds of movement, and from which bucket to which each moves."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Final


class Bucket(StrEnum):
    """Where an account's money can be. The first three stand on the wallet; the others are its own counters."""

    AVAILABLE = "available"
    RESERVED = "reserved"
    OWED = "owed"
    FUNDING = "funding"
    SPEND = "spend"
    PROMO = "promo"
    ADJUSTMENT = "adjustment"


class Kind(StrEnum):
    """What a movement is."""

    DEPOSIT = "deposit"
    AUTO_TOPUP = "auto_topup"
    PROMO_GRANT = "promo_grant"
    RESERVE = "reserve"
    RESERVE_RENEW = "reserve_renew"
    USAGE = "usage"
    RELEASE = "release"
    HOST_FAULT_REFUND = "host_fault_refund"
    ADJUSTMENT_CREDIT = "adjustment_credit"
    ADJUSTMENT_DEBIT = "adjustment_debit"
    REFUND_HOLD = "refund_hold"
    REFUND = "refund"
    REFUND_RELEASE = "refund_release"
    REFUND_REVERSAL = "refund_reversal"
    DISPUTE_HOLD = "dispute_hold"
    DISPUTE_DEBIT = "dispute_debit"
    DISPUTE_RELEASE = "dispute_release"
    DISPUTE_REVERSAL = "dispute_reversal"
    CLAWBACK = "clawback"
    DEBT_INCURRED = "debt_incurred"
    DEBT_REPAID = "debt_repaid"
    INFERENCE_USAGE = "inference_usage"
    PROMO_EXPIRY = "promo_expiry"


_A, _R, _O = Bucket.AVAILABLE, Bucket.RESERVED, Bucket.OWED

ENTRIES: Final[dict[Kind, tuple[Bucket, Bucket]]] = {
    Kind.DEPOSIT: (Bucket.FUNDING, _A),
    Kind.AUTO_TOPUP: (Bucket.FUNDING, _A),
    Kind.PROMO_GRANT: (Bucket.PROMO, _A),
    Kind.RESERVE: (_A, _R),
    Kind.RESERVE_RENEW: (_A, _R),
    Kind.USAGE: (_R, Bucket.SPEND),
    Kind.RELEASE: (_R, _A),
    Kind.HOST_FAULT_REFUND: (Bucket.SPEND, _A),
    Kind.ADJUSTMENT_CREDIT: (Bucket.ADJUSTMENT, _A),
    Kind.ADJUSTMENT_DEBIT: (_A, Bucket.ADJUSTMENT),
    Kind.REFUND_HOLD: (_A, _R),
    Kind.REFUND: (_R, Bucket.FUNDING),
    Kind.REFUND_RELEASE: (_R, _A),
    Kind.REFUND_REVERSAL: (Bucket.FUNDING, _A),
    Kind.DISPUTE_HOLD: (_A, _R),
    Kind.DISPUTE_DEBIT: (_R, Bucket.FUNDING),
    Kind.DISPUTE_RELEASE: (_R, _A),
    Kind.DISPUTE_REVERSAL: (Bucket.FUNDING, _A),
    Kind.CLAWBACK: (_A, Bucket.FUNDING),
    Kind.DEBT_INCURRED: (_O, Bucket.FUNDING),
    Kind.DEBT_REPAID: (Bucket.FUNDING, _O),
    Kind.INFERENCE_USAGE: (_R, Bucket.SPEND),
    Kind.PROMO_EXPIRY: (_A, Bucket.PROMO),
}
"""(debit, credit) of each kind, but for what ``PAID_FROM`` says."""

PAID_FROM: Final[dict[Kind, frozenset[Bucket]]] = {
    Kind.DEBT_REPAID: frozenset({Bucket.FUNDING, Bucket.PROMO, Bucket.ADJUSTMENT, Bucket.SPEND, _R}),
    Kind.PROMO_EXPIRY: frozenset({_A, _R}),
}
"""From which buckets these kinds may be paid, each movement naming its own."""

_OWN = {_A: 0, _R: 1, _O: 2}


def deltas(debit: Bucket, credit: Bucket, amount: int) -> tuple[int, int, int]:
    """Return what a movement adds to (available, reserved, owed).

    ``owed`` counts what the account owes us, so a debit of it raises the debt and a credit lowers it.
    """
    available, reserved, owed = _signs(debit, credit)
    return available * amount, reserved * amount, owed * amount


@cache
def _signs(debit: Bucket, credit: Bucket) -> tuple[int, int, int]:
    signs = [0, 0, 0]
    for bucket, sign in ((debit, -1), (credit, 1)):
        if bucket in _OWN:
            signs[_OWN[bucket]] += -sign if bucket is _O else sign
    return signs[0], signs[1], signs[2]
