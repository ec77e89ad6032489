"""Reading Stripe's objects: strict where a wrong value would move money, tolerant of everything we don't need.

Amounts come in cents; this is the only place where they become micro-dollars.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.providers.reading import Malformed, items, mapping, maybe, moment, name, text, whole
from app.topups.gateway.facts import (
    BalanceTransactionFacts,
    CardFacts,
    ChargeFacts,
    DisputeFacts,
    EventFacts,
    PaymentBrief,
    PaymentFacts,
    RefundFacts,
    SessionFacts,
    SetupFacts,
)

MICROS_PER_CENT = 10_000
_CENTS_MAX = 10**11
_MONTHS, _YEAR_MAX = 12, 9999
_URL_MAX = 4096

Record = Mapping[str, Any]


def micros(value: object, *, low: int = 0) -> int:
    """Return cents as micro-dollars."""
    return whole(value, low=low, high=_CENTS_MAX) * MICROS_PER_CENT


def cents(amount: int) -> int:
    """Return micro-dollars as cents.

    Raises:
        ValueError: not a whole number of cents.
    """
    whole_cents, rest = divmod(amount, MICROS_PER_CENT)
    if rest:
        raise ValueError("an amount for Stripe is a whole number of cents")
    return whole_cents


def session(found: Record) -> SessionFacts:
    """Return a Checkout Session."""
    total = found.get("amount_total")
    details = found.get("total_details") or {}
    return SessionFacts(
        id=name(found.get("id")),
        mode=name(found.get("mode")),
        status=_word(found.get("status")),
        payment_status=name(found.get("payment_status")),
        amount_total=None if total is None else micros(total),
        amount_tax=micros(mapping(details).get("amount_tax") or 0),
        currency=_word(found.get("currency")),
        payment_intent_id=reference(found.get("payment_intent")),
        setup_intent_id=reference(found.get("setup_intent")),
        url=_url(found.get("url")),
        customer_id=reference(found.get("customer")),
        client_reference_id=_word(found.get("client_reference_id")),
        livemode=_flag(found.get("livemode")),
        metadata=_metadata(found),
        expires_at=moment(found.get("expires_at")),
    )


def setup(found: Record) -> SetupFacts:
    """Return a SetupIntent."""
    return SetupFacts(
        id=name(found.get("id")),
        status=name(found.get("status")),
        payment_method_id=reference(found.get("payment_method")),
        customer_id=reference(found.get("customer")),
        metadata=_metadata(found),
        livemode=_flag(found.get("livemode")),
    )


def card(found: Record) -> CardFacts | None:
    """Return a PaymentMethod; None when it is no card."""
    if found.get("type") != "card":
        return None
    return _card(found.get("card"), name(found.get("id")), reference(found.get("customer")))


def charge(found: Record) -> ChargeFacts:
    """Return a Charge."""
    method, details = reference(found.get("payment_method")), found.get("payment_method_details") or {}
    by_card = mapping(details).get("type") == "card" and method is not None
    return ChargeFacts(
        id=name(found.get("id")),
        amount=micros(found.get("amount")),
        amount_refunded=micros(found.get("amount_refunded")),
        disputed=_flag(found.get("disputed")),
        receipt_url=_url(found.get("receipt_url")),
        card=_card(details.get("card"), method, reference(found.get("customer"))) if by_card and method else None,
    )


def refund(found: Record) -> RefundFacts:
    """Return a Refund."""
    return RefundFacts(
        id=name(found.get("id")),
        amount=micros(found.get("amount")),
        status=_word(found.get("status")) or "pending",
        metadata=_metadata(found),
        failure_reason=_word(found.get("failure_reason")),
        created_at=moment(found.get("created")),
        payment_intent_id=reference(found.get("payment_intent")),
        charge_id=reference(found.get("charge")),
        currency=name(found.get("currency")),
    )


def dispute(found: Record) -> DisputeFacts:
    """Return a Dispute with what was moved for it."""
    moved = [balance_transaction(mapping(one)) for one in items(found.get("balance_transactions"))]
    if any(one.currency != found.get("currency") for one in moved):
        raise Malformed("a dispute was settled in another currency than it was raised in")
    due = mapping(found.get("evidence_details") or {}).get("due_by")
    return DisputeFacts(
        id=name(found.get("id")),
        amount=micros(found.get("amount")),
        status=name(found.get("status")),
        reason=text(found.get("reason")),
        due_by=None if due is None else moment(due),
        withdrawn=sum(-one.amount for one in moved if one.amount < 0),
        reinstated=sum(one.amount for one in moved if one.amount > 0),
        is_charge_refundable=_flag(found.get("is_charge_refundable")),
        created_at=moment(found.get("created")),
        payment_intent_id=reference(found.get("payment_intent")),
        charge_id=reference(found.get("charge")),
        currency=name(found.get("currency")),
    )


def payment_brief(found: Record) -> PaymentBrief:
    """Return a PaymentIntent as a list shows it."""
    return PaymentBrief(
        payment_intent_id=name(found.get("id")),
        customer_id=reference(found.get("customer")),
        status=name(found.get("status")),
        amount=micros(found.get("amount")),
        amount_received=micros(found.get("amount_received")),
        currency=name(found.get("currency")),
        livemode=_flag(found.get("livemode")),
        metadata=_metadata(found),
        created_at=moment(found.get("created")),
    )


def payment(
    found: Record, *, tax: int, refunds: tuple[RefundFacts, ...], disputes: tuple[DisputeFacts, ...]
) -> PaymentFacts:
    """Return a PaymentIntent whose latest charge stands in it, with what was asked for beside it."""
    brief, latest = payment_brief(found), found.get("latest_charge")
    error = mapping(found.get("last_payment_error") or {})
    return PaymentFacts(
        payment_intent_id=brief.payment_intent_id,
        customer_id=brief.customer_id,
        status=brief.status,
        amount=brief.amount,
        amount_received=brief.amount_received,
        tax=tax,
        currency=brief.currency,
        livemode=brief.livemode,
        metadata=brief.metadata,
        charge=None if latest is None else charge(mapping(latest)),
        refunds=refunds,
        disputes=disputes,
        last_error=_word(error.get("decline_code")) or _word(error.get("code")),
        last_advice=_word(error.get("advice_code")),
    )


def balance_transaction(found: Record) -> BalanceTransactionFacts:
    """Return a BalanceTransaction."""
    return BalanceTransactionFacts(
        id=name(found.get("id")),
        type=name(found.get("type")),
        reporting_category=name(found.get("reporting_category")),
        amount=micros(found.get("amount"), low=-_CENTS_MAX),
        fee=micros(found.get("fee"), low=-_CENTS_MAX),
        net=micros(found.get("net"), low=-_CENTS_MAX),
        currency=name(found.get("currency")),
        source_id=reference(found.get("source")),
        created_at=moment(found.get("created")),
    )


def event(found: Record, *, payload: bytes | None = None) -> EventFacts:
    """Return an Event with its whole object (a thin one has none), and beside it the bytes it came as."""
    if found.get("object") != "event":
        raise Malformed("an event was expected")
    data = mapping(mapping(found.get("data")).get("object"))
    return EventFacts(
        id=name(found.get("id")),
        type=name(found.get("type")),
        api_version=_word(found.get("api_version")),
        created_at=moment(found.get("created")),
        livemode=_flag(found.get("livemode")),
        object_id=reference(data.get("id")),
        data_object=data,
        payload=json.dumps(found, default=str).encode() if payload is None else payload,
    )


def reference(value: object) -> str | None:
    """Return an id, whether it stands alone or in the object that it names."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return None if value is None else name(value, longest=255)


def _card(value: object, method_id: str, customer_id: str | None) -> CardFacts:
    found = mapping(value)
    return CardFacts(
        id=method_id,
        customer_id=customer_id,
        brand=maybe(name, found.get("brand")) or "unknown",
        last4=maybe(name, found.get("last4")) or "",
        exp_month=whole(found.get("exp_month"), low=1, high=_MONTHS),
        exp_year=whole(found.get("exp_year"), high=_YEAR_MAX),
        fingerprint=_word(found.get("fingerprint")),
    )


def _metadata(found: Record) -> dict[str, str]:
    return {name(key): text(value, longest=500) for key, value in mapping(found.get("metadata") or {}).items()}


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Malformed("true or false was expected")
    return value


def _word(value: object) -> str | None:
    return maybe(lambda one: name(one, longest=255), value)


def _url(value: object) -> str | None:
    found = maybe(lambda one: name(one, longest=_URL_MAX), value)
    return found if found and found.startswith(("https://", "http://")) else None
