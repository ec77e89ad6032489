"""What a checkout session is about: its parameters, its lines, its sum and tax."""

from __future__ import annotations

from app.sandbox.stripe.errors import StripeRefusal
from app.sandbox.stripe.forms import LIST, Params, Spec
from app.sandbox.stripe.ids import new_id
from app.sandbox.stripe.store import Obj

LINES: Spec = LIST
_PRODUCT: Spec = {"name!": str, "description": str, "images": [str], "metadata": dict, "tax_code": str}
_PRICE: Spec = {
    "currency!": str,
    "product_data!": _PRODUCT,
    "tax_behavior": ("exclusive", "inclusive", "unspecified"),
    "unit_amount!": int,
}
_USAGE = ("off_session", "on_session")
CREATE: Spec = {
    "adaptive_pricing": {"enabled": bool},
    "allow_promotion_codes": bool,
    "allowed_payment_method_types": [("card", "us_bank_account")],
    "automatic_tax": {"enabled!": bool},
    "billing_address_collection": ("auto", "required"),
    "cancel_url": str,
    "client_reference_id": str,
    "currency": str,
    "custom_text": {"submit": {"message!": str}},
    "customer": str,
    "customer_email": str,
    "customer_update": {"address": ("auto", "never"), "name": ("auto", "never")},
    "expires_at": int,
    "line_items": [{"price_data!": _PRICE, "quantity": int}],
    "locale": str,
    "metadata": dict,
    "mode!": ("payment", "setup"),
    "payment_intent_data": {
        "description": str,
        "metadata": dict,
        "receipt_email": str,
        "setup_future_usage": _USAGE,
        "statement_descriptor_suffix": str,
    },
    "payment_method_options": {
        "card": {"request_three_d_secure": ("any", "automatic", "challenge"), "setup_future_usage": _USAGE}
    },
    "payment_method_types": [("card", "us_bank_account")],
    "saved_payment_method_options": {
        "allow_redisplay_filters": [("always", "limited", "unspecified")],
        "payment_method_remove": ("enabled", "disabled"),
        "payment_method_save": ("enabled", "disabled"),
    },
    "setup_intent_data": {"description": str, "metadata": dict},
    "submit_type": ("auto", "book", "donate", "pay"),
    "success_url!": str,
    "ui_mode": ("hosted_page",),
}


def order_of(params: Params, *, tax_basis_points: int) -> tuple[list[Obj], int, int]:
    """Return the lines, their sum before tax, and the tax.

    Raises:
        StripeRefusal: there are no lines, or one makes no sense.
    """
    wanted = params.get("line_items")
    if not wanted:
        raise StripeRefusal(
            400, "You must provide line_items in payment mode.", code="parameter_missing", param="line_items"
        )
    lines = [_line(item, place, tax_basis_points) for place, item in enumerate(wanted)]
    if len({line["currency"] for line in lines}) > 1:
        raise StripeRefusal(400, "All line items must have the same currency.", param="line_items")
    return lines, sum(line["amount_subtotal"] for line in lines), sum(line["amount_tax"] for line in lines)


def _line(item: Params, place: int, tax_basis_points: int) -> Obj:
    price, quantity = item["price_data"], item.get("quantity", 1)
    if price["unit_amount"] < 0 or quantity is None or quantity < 1:
        raise StripeRefusal(400, "Invalid non-negative integer", param=f"line_items[{place}]")
    subtotal = price["unit_amount"] * quantity
    tax = (subtotal * tax_basis_points + 5_000) // 10_000
    return {
        "id": new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": subtotal,
        "amount_tax": tax,
        "amount_total": subtotal + tax,
        "currency": price["currency"].lower(),
        "description": price["product_data"]["name"],
        "metadata": {},
        "price": None,
        "quantity": quantity,
    }
