"""The one way in for money from cards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.kit.ids import AccountId, PaymentId
from app.topups.tools import TopupTools


class Outcome(StrEnum):
    """What came of looking at a payment."""

    APPLIED = "applied"
    """Something was posted."""
    UNCHANGED = "unchanged"
    """Everything had been posted before."""
    WAITING = "waiting"
    """It has not succeeded, or not yet: nothing to post."""
    FOREIGN = "foreign"
    """It is not of this deployment, or Stripe has no such payment: none of our business."""
    REFUSED = "refused"
    """It differs from what we asked for: nothing is posted until a person has looked."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What was found and done. Amounts in micro-dollars."""

    outcome: Outcome
    payment_intent_id: str
    account_id: AccountId | None = None
    payment_id: PaymentId | None = None
    status: str | None = None
    """Stripe's word for it."""
    credited: int = 0
    """What came in by this very call; zero when it had come in before."""
    reason: str | None = None
    """Why it was refused, or is foreign."""


async def apply_payment(tools: TopupTools, payment_intent_id: str, *, at: datetime) -> Applied:
    """Make the ledger say what Stripe says of one payment now: credit, refunds and disputes. Harmless to repeat.

    Raises:
        StripeUnavailable, StripeBusy, StripeUnauthorized: Stripe did not answer; nothing was changed.
    """
    raise NotImplementedError
