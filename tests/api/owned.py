"""Whose an id is: every collection, query parameter and member of a body that names something of a tenant's."""

from __future__ import annotations

from uuid import uuid4

from app.kit.ids import (
    ApiKeyId,
    ChangeRequestId,
    CheckoutId,
    DeliveryId,
    InvitationId,
    ListingId,
    PaymentId,
    QuoteId,
    RefundId,
    RentalId,
    SessionId,
    SshKeyId,
    TeamId,
    TemplateId,
    TransferId,
    UserId,
    WebhookId,
)

MISSING = {
    "rentals": RentalId.new,
    "ssh-keys": SshKeyId.new,
    "templates": TemplateId.new,
    "api-keys": ApiKeyId.new,
    "ledger": TransferId.new,
    "quotes": QuoteId.new,
    "listings": ListingId.new,
    "checkout-sessions": CheckoutId.new,
    "payments": PaymentId.new,
    "refunds": RefundId.new,
    "teams": TeamId.new,
    "members": UserId.new,
    "invitations": InvitationId.new,
    "requests": ChangeRequestId.new,
    "webhooks": WebhookId.new,
    "deliveries": DeliveryId.new,
    "sessions": SessionId.new,
    "payment-methods": lambda: f"pm_{uuid4().hex[:24]}",
}
"""By collection, how an id is made that nobody has."""
COMMON = frozenset({"families", "listings", "statements", "chargeback"})
"""Collections whose ids are the same for everybody."""
QUERY_IDS = {"rental_id": "rentals", "payment_id": "payments", "team_id": "teams"}
"""Query parameters that name something of a tenant's, and its collection."""
BODY_IDS = {
    "account_id": "accounts",
    "quote_id": "quotes",
    "payment_id": "payments",
    "payment_method_id": "payment-methods",
    "team_id": "teams",
    "user_id": "members",
}
"""Members of bodies that name something of a tenant's, and its collection."""
