"""What Stripe says, made up for tests: amounts in whole dollars."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta

from app.topups.gateway.facts import DisputeFacts, PaymentFacts, RefundFacts

DOLLAR = 1_000_000
START = datetime(2026, 3, 1, tzinfo=UTC)


def made(facts, **values):
    """Facts of a kind: what it has of these values, and None for what is not told."""
    return facts(**{field.name: values.get(field.name) for field in fields(facts)})


def payment(status="succeeded", *, dollars=25, tax=0, refunds=(), disputes=()):
    return made(
        PaymentFacts,
        payment_intent_id="pi_1",
        customer_id="cus_1",
        status=status,
        amount=dollars * DOLLAR,
        amount_received=dollars * DOLLAR if status == "succeeded" else 0,
        tax=tax * DOLLAR,
        currency="usd",
        livemode=False,
        metadata={},
        created_at=START,
        charge=None,
        refunds=tuple(refunds),
        disputes=tuple(disputes),
        last_error=None,
    )


def refund(name, dollars, status="succeeded", *, ours=None, second=0):
    return made(
        RefundFacts,
        id=name,
        payment_intent_id="pi_1",
        charge_id="ch_1",
        currency="usd",
        amount=dollars * DOLLAR,
        status=status,
        metadata={"refund_id": ours} if ours else {},
        failure_reason=None,
        created_at=START + timedelta(seconds=second),
    )


def dispute(name="dp_1", dollars=25, status="needs_response", *, withdrawn=0, reinstated=0, second=0):
    return made(
        DisputeFacts,
        id=name,
        payment_intent_id="pi_1",
        charge_id="ch_1",
        currency="usd",
        amount=dollars * DOLLAR,
        status=status,
        reason="fraudulent",
        due_by=None,
        withdrawn=withdrawn * DOLLAR,
        reinstated=reinstated * DOLLAR,
        is_charge_refundable=False,
        created_at=START + timedelta(seconds=second),
    )
