"""What a customer asked for, and how much one charge is: pure. Amounts in micro-dollars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.kit.ids import AccountId

_DOLLAR = 1_000_000
CENT = 10_000
THRESHOLD_MIN = 5 * _DOLLAR
CHARGE_MIN = 5 * _DOLLAR
CHARGE_MAX = 5_000 * _DOLLAR
"""What one charge is at most; also the largest threshold and target."""
TARGET_ABOVE_THRESHOLD_MIN = 10 * _DOLLAR


class Mode(StrEnum):
    """How much a charge is."""

    FIXED = "fixed"
    TARGET = "target"


class State(StrEnum):
    """Where a rule stands."""

    ACTIVE = "active"
    COOLING = "cooling"
    BACKING_OFF = "backing_off"
    SUSPENDED = "suspended"
    CAPPED = "capped"
    OFF = "off"


PASSING = frozenset({State.COOLING, State.BACKING_OFF, State.CAPPED})
"""States that end by themselves."""


class Reason(StrEnum):
    """Why a rule is not active."""

    SUCCESS = "success"
    DAILY_LIMIT = "daily_limit"
    UNRESOLVED = "unresolved"
    DECLINED = "declined"
    CARD = "card"
    ACTION_REQUIRED = "action_required"
    NO_PAYMENT_METHOD = "no_payment_method"
    DISPUTE = "dispute"
    FRAUD_WARNING = "fraud_warning"
    MONTHLY_CAP = "monthly_cap"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the customer agreed to."""

    mode: Mode
    threshold: int
    amount: int | None
    """Fixed: what is charged, or the smallest multiple of it that closes the gap."""
    target: int | None
    """Target: up to what a charge fills the wallet."""
    monthly_cap: int
    only_while_running: bool = True


@dataclass(frozen=True, slots=True)
class Card:
    """The card that is charged. The fingerprint is the same for the same card, however often it is saved."""

    payment_method_id: str
    fingerprint: str
    """Stripe's, or the payment method's own id where Stripe tells none."""


@dataclass(frozen=True, slots=True)
class Consent:
    """Which text was agreed to, when and by whom."""

    text_version: str
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One account's rule as it stands."""

    account_id: AccountId
    terms: Terms
    card: Card | None
    consent: Consent
    state: State
    reason: Reason | None
    until: datetime | None
    failures: int
    bad_fingerprints: tuple[str, ...]
    last_manual_resume_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int


def charge_for(terms: Terms, *, have: int, need: int = 0) -> int:
    """Return what one charge must be so that ``have`` comes to the threshold or target, and to ``need``.

    One charge closes the whole gap: a fixed amount is multiplied as often as that takes. Whole cents, rounded up,
    between ``CHARGE_MIN`` and ``CHARGE_MAX``.
    """
    if terms.mode is Mode.TARGET:
        gap = max(terms.target or 0, need) - have
        return min(max(_whole_cents(gap), CHARGE_MIN), CHARGE_MAX)
    gap = max(terms.threshold, need) - have
    amount = terms.amount or CHARGE_MIN
    times = max(1, -(-gap // amount))
    return amount * min(times, max(1, CHARGE_MAX // amount))


def _whole_cents(micros: int) -> int:
    return -(-micros // CENT) * CENT
