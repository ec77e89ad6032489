"""Whether a payment is one that we asked for, word for word. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from app.kit.ids import AccountId
from app.topups.gateway.facts import PaymentFacts
from app.topups.payments.converging import SUCCEEDED, net_of

CURRENCY = "usd"


@dataclass(frozen=True, slots=True)
class Asked:
    """What we asked for: the row of a checkout, or of an attempt to top up."""

    source: str
    """checkout or auto_topup."""
    amount: int
    """What is to be credited, in micro-dollars."""
    checkout_id: str | None = None
    attempt_id: str | None = None


def account_named(facts: PaymentFacts, *, deployment: str) -> AccountId | None:
    """Return the account that a payment of this deployment names; None when it is not ours at all."""
    if facts.metadata.get("deployment") != deployment:
        return None
    try:
        return AccountId.parse(facts.metadata.get("account_id", ""))
    except ValueError:
        return None


def refusal(facts: PaymentFacts, *, asked: Asked | None, customer_id: str | None, livemode: bool) -> str | None:
    """Return why a payment must not be credited, as a code; None when it is what we asked for.

    ``customer_id`` is who the account is at Stripe.
    """
    if facts.livemode is not livemode:
        return "wrong_livemode"
    if facts.currency.lower() != CURRENCY:
        return "wrong_currency"
    if customer_id is None or facts.customer_id != customer_id:
        return "wrong_customer"
    if asked is None:
        return "not_asked_for"
    received_in_part = facts.status == SUCCEEDED and facts.amount_received != facts.amount
    if net_of(facts) != asked.amount or facts.tax < 0 or received_in_part:
        return "wrong_amount"
    return None
