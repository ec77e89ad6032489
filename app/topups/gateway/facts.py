"""What Stripe knows, as this room reads it: amounts in micro-dollars, times aware, states as open text.

A state that nobody here knows is no error: it means "look again later".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class CardFacts:
    """A card."""

    id: str
    customer_id: str | None
    """None once it is detached."""
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    fingerprint: str | None
    """The same for the same number, whoever saved it how often."""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A visit to Stripe's page."""

    id: str
    mode: str
    status: str | None
    """open, complete or expired."""
    payment_status: str
    """paid, unpaid or no_payment_required."""
    amount_total: int | None
    amount_tax: int
    currency: str | None
    payment_intent_id: str | None
    setup_intent_id: str | None
    url: str | None = field(repr=False)
    """Where the page is; None once it is over."""
    customer_id: str | None
    client_reference_id: str | None
    """Our checkout's id."""
    livemode: bool
    metadata: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SetupFacts:
    """The saving of a card."""

    id: str
    status: str
    payment_method_id: str | None
    customer_id: str | None
    metadata: Mapping[str, str]
    livemode: bool


@dataclass(frozen=True, slots=True)
class ChargeFacts:
    """The money of a payment moving."""

    id: str
    amount: int
    amount_refunded: int
    disputed: bool
    receipt_url: str | None
    card: CardFacts | None
    """None when something other than a card paid."""


@dataclass(frozen=True, slots=True)
class RefundFacts:
    """Money on its way back."""

    id: str
    amount: int
    status: str
    """pending, requires_action, succeeded, failed or canceled."""
    metadata: Mapping[str, str]
    failure_reason: str | None
    created_at: datetime
    payment_intent_id: str | None = None
    charge_id: str | None = None
    currency: str = "usd"


@dataclass(frozen=True, slots=True)
class DisputeFacts:
    """A payment that its card's owner contests."""

    id: str
    amount: int
    status: str
    """``warning_…`` is an inquiry: no money has moved."""
    reason: str
    due_by: datetime | None
    withdrawn: int
    """What was taken from us for it, without the fee."""
    reinstated: int
    """What was given back of that."""
    is_charge_refundable: bool
    created_at: datetime
    payment_intent_id: str | None = None
    charge_id: str | None = None
    currency: str = "usd"


@dataclass(frozen=True, slots=True)
class PaymentBrief:
    """A payment as lists show it: without its refunds and disputes."""

    payment_intent_id: str
    customer_id: str | None
    status: str
    amount: int
    amount_received: int
    currency: str
    livemode: bool
    metadata: Mapping[str, str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """Everything about a payment: the one thing from which the ledger's rows follow."""

    payment_intent_id: str
    customer_id: str | None
    status: str
    amount: int
    amount_received: int
    tax: int
    currency: str
    livemode: bool
    metadata: Mapping[str, str]
    charge: ChargeFacts | None
    refunds: tuple[RefundFacts, ...]
    disputes: tuple[DisputeFacts, ...]
    last_error: str | None
    """The code of the last decline."""
    last_advice: str | None = None
    """What Stripe advised after it, such as ``do_not_try_again``."""


@dataclass(frozen=True, slots=True)
class BalanceTransactionFacts:
    """A movement of our balance at Stripe."""

    id: str
    type: str
    reporting_category: str
    amount: int
    fee: int
    net: int
    currency: str
    source_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class EventFacts:
    """Something Stripe told. It only says where to look."""

    id: str
    type: str
    api_version: str | None
    created_at: datetime
    livemode: bool
    object_id: str | None
    data_object: Mapping[str, Any] = field(repr=False)
    """The object as it was then: good for its ids only."""
    payload: bytes = field(repr=False)
    """As it came; from a list, as it was read."""


@dataclass(frozen=True, slots=True)
class FactsPage(Generic[Item]):
    """A part of a list, newest first."""

    items: tuple[Item, ...]
    after: str | None
    """What to ask with for the next part; None when this was the last."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """A part of what Stripe told, oldest first."""

    events: tuple[EventFacts, ...]
    has_more: bool
    """Whether there is something newer than the last one here."""


@dataclass(frozen=True, slots=True)
class SessionOrder:
    """A visit that we ask for. ``params`` are Stripe's own, kept word for word so that a retry asks the same."""

    checkout_id: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Visit:
    """What a visit is to be for."""

    checkout_id: str
    account_id: str
    customer_id: str
    amount: int | None
    """To be paid; None when a card is only to be saved."""
    save_card: bool
    return_url: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Beside what every object of ours carries."""
    receipt_email: str | None = None


@dataclass(frozen=True, slots=True)
class ChargeOrder:
    """A charge without its owner present. The same order must say the same on every try."""

    attempt_id: str
    account_id: str
    customer_id: str
    payment_method_id: str
    amount: int
    description: str
    receipt_email: str | None = None


@dataclass(frozen=True, slots=True)
class ChargeOutcome:
    """How a charge went."""

    state: Literal["succeeded", "processing", "declined", "action_required"]
    payment_intent_id: str | None
    decline_code: str | None = None
    advice_code: str | None = None
    message: str | None = None
    """Stripe's words for the card's owner."""


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """A refund that we ask for. The same order must say the same on every try."""

    refund_id: str
    account_id: str
    payment_intent_id: str
    amount: int
    reason: Literal["duplicate", "fraudulent", "requested_by_customer"] = "requested_by_customer"
