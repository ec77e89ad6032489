"""Whose an id is: every collection, query parameter and member of a body that names something of a tenant's."""

from __future__ import annotations

from uuid import uuid4

from app.kit.ids import (
    ApiKeyId,
    CheckoutId,
    ListingId,
    PaymentId,
    QuoteId,
    RefundId,
    RentalId,
    SessionId,
    SshKeyId,
    TemplateId,
    TransferId,
)

MISSING = {
    "rentals": RentalId.new,
    "ssh-keys": SshKeyId.new,
    "templates": TemplateId.new,
    "api-keys": ApiKeyId.new,
    "ledger": TransferId.new,
    "quotes": QuoteId.new,
    "sessions": SessionId.new,
    "listings": ListingId.new,
    "checkout-sessions": CheckoutId.new,
    "payments": PaymentId.new,
    "refunds": RefundId.new,
    "payment-methods": lambda: f"pm_{uuid4().hex[:24]}",
}
"""By collection, how an id is made that nobody has."""
COMMON = frozenset({"families", "listings", "statements"})
"""Collections whose ids are the same for everybody."""
QUERY_IDS = {"rental_id": "rentals", "payment_id": "payments"}
"""Query parameters that name something of a tenant's, and its collection."""
BODY_IDS = {
    "account_id": "accounts",
    "quote_id": "quotes",
    "payment_id": "payments",
    "payment_method_id": "payment-methods",
}
"""Members of bodies that name something of a tenant's, and its collection."""
