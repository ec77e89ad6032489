"""What an event points at. Of an event only ids are believed: what happened is read from the object itself, later.

So it does not matter in which order events come, how often, or which of them are lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Target(StrEnum):
    """What kind of object has to be looked at."""

    PAYMENT = "payment"
    SESSION = "session"
    SETUP = "setup"
    CARD = "card"
    FRAUD_WARNING = "fraud_warning"


@dataclass(frozen=True, slots=True)
class Pointer:
    """One object of Stripe's: what to look at, and its id there."""

    target: Target
    id: str
    by_charge: bool = False
    """The id is the charge's: its payment has to be asked for first."""


_OF_CHARGE: Final = frozenset({
    "refund.created", "refund.updated", "refund.failed",
    "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed",
    "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated",
})  # fmt: skip
_OF_OBJECT: Final = {
    "checkout.session.completed": Target.SESSION,
    "checkout.session.async_payment_succeeded": Target.SESSION,
    "checkout.session.async_payment_failed": Target.SESSION,
    "checkout.session.expired": Target.SESSION,
    "setup_intent.succeeded": Target.SETUP,
    "setup_intent.setup_failed": Target.SETUP,
    "payment_intent.succeeded": Target.PAYMENT,
    "payment_intent.payment_failed": Target.PAYMENT,
    "payment_method.detached": Target.CARD,
    "payment_method.automatically_updated": Target.CARD,
}

CHARGE_REFUNDED: Final = "charge.refunded"
FRAUD_WARNING: Final = "radar.early_fraud_warning.created"
TYPES: Final = tuple(sorted({*_OF_OBJECT, *_OF_CHARGE, CHARGE_REFUNDED, FRAUD_WARNING}))
"""The types we subscribe to: exactly 20, as many as one listing of events can ask for."""

_ID: Final = re.compile(r"[A-Za-z0-9_]{1,255}", re.ASCII)


def pointer_of(event_type: str, obj: Mapping[str, Any]) -> Pointer | None:
    """Return what an event of one of ``TYPES`` points at, from its ``data.object``; None when it names nothing.

    A refund, a dispute and a charge point at their payment, or at the charge where they name no payment.
    """
    own = _reference(obj.get("id"))
    if (target := _OF_OBJECT.get(event_type)) is not None:
        return Pointer(target, own) if own else None
    if event_type == FRAUD_WARNING:
        return _pointer_to_payment(Target.FRAUD_WARNING, obj, charge=obj.get("charge"))
    if event_type == CHARGE_REFUNDED:
        return _pointer_to_payment(Target.PAYMENT, obj, charge=own)
    return _pointer_to_payment(Target.PAYMENT, obj, charge=obj.get("charge")) if event_type in _OF_CHARGE else None


def _pointer_to_payment(target: Target, obj: Mapping[str, Any], *, charge: object) -> Pointer | None:
    if payment_id := _reference(obj.get("payment_intent")):
        return Pointer(target, payment_id)
    charge_id = _reference(charge)
    return Pointer(target, charge_id, by_charge=True) if charge_id else None


def _reference(value: object) -> str | None:
    """Return an id, whether it stands alone or in the object that it names."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) and _ID.fullmatch(value) else None
