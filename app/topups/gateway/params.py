"""What we ask of Stripe, in its own terms, checked by type against what the library says it takes.

The same order gives the same parameters on every try: Stripe refuses a key that comes again with others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.topups.gateway.facts import ChargeOrder, RefundOrder, Visit
from app.topups.gateway.reading import cents

if TYPE_CHECKING:
    from stripe.params import CustomerCreateParams, PaymentIntentCreateParams, RefundCreateParams
    from stripe.params.checkout import SessionCreateParams, SessionCreateParamsPaymentIntentData

CURRENCY = "usd"
_PRODUCT = "Hourglass credit"


def customer(*, account_id: str, email: str, name: str, deployment: str) -> CustomerCreateParams:
    """Return who an account is; an empty email or name is left out."""
    params: CustomerCreateParams = {"metadata": {"account_id": account_id, "deployment": deployment}}
    if email:
        params["email"] = email
    if name:
        params["name"] = name
    return params


def session(visit: Visit, *, deployment: str) -> SessionCreateParams:
    """Return a visit to Stripe's page. It ends by itself a day after Stripe has made it."""
    metadata = dict(visit.metadata) | {
        "account_id": visit.account_id,
        "checkout_id": visit.checkout_id,
        "deployment": deployment,
    }
    params: SessionCreateParams = {
        "customer": visit.customer_id,
        "client_reference_id": visit.checkout_id,
        "success_url": visit.return_url,
        "cancel_url": visit.return_url,
        "metadata": metadata,
    }
    if visit.amount is None:
        params["mode"] = "setup"
        params["currency"] = CURRENCY
        params["allowed_payment_method_types"] = ["card"]
        params["setup_intent_data"] = {"metadata": metadata}
        return params
    paying: SessionCreateParamsPaymentIntentData = {"metadata": metadata}
    if visit.receipt_email:
        paying["receipt_email"] = visit.receipt_email
    if visit.save_card:
        paying["setup_future_usage"] = "off_session"
    params["mode"] = "payment"
    params["payment_intent_data"] = paying
    params["adaptive_pricing"] = {"enabled": False}  # what is paid is what is credited: dollars
    params["line_items"] = [
        {
            "quantity": 1,
            "price_data": {
                "currency": CURRENCY,
                "unit_amount": cents(visit.amount),
                "product_data": {"name": _PRODUCT},
            },
        }
    ]
    return params


def charge(order: ChargeOrder, *, deployment: str) -> PaymentIntentCreateParams:
    """Return a charge without its owner present: at once, or not at all."""
    params: PaymentIntentCreateParams = {
        "amount": cents(order.amount),
        "currency": CURRENCY,
        "customer": order.customer_id,
        "payment_method": order.payment_method_id,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "off_session": True,
        "confirm": True,
        "description": order.description,
        "metadata": {"account_id": order.account_id, "attempt_id": order.attempt_id, "deployment": deployment},
        "expand": ["latest_charge"],
    }
    if order.receipt_email:
        params["receipt_email"] = order.receipt_email
    return params


def refund(order: RefundOrder, *, deployment: str) -> RefundCreateParams:
    """Return a refund of a payment, whole or in part."""
    return {
        "payment_intent": order.payment_intent_id,
        "amount": cents(order.amount),
        "reason": order.reason,
        "metadata": {"account_id": order.account_id, "refund_id": order.refund_id, "deployment": deployment},
    }


def canonical(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters in one order, wherever they were kept meanwhile."""
    return {key: _canonical(params[key]) for key in sorted(params)}


def _canonical(value: object) -> object:
    if isinstance(value, Mapping):
        return canonical(value)
    return [_canonical(one) for one in value] if isinstance(value, list) else value
