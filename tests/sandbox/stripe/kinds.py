"""The kinds of object that the sandbox's Stripe makes."""

KINDS = (
    "customer", "checkout.session", "setup_intent", "payment_method", "payment_intent", "charge", "refund", "dispute",
    "balance_transaction", "event", "billing_portal.session", "radar.early_fraud_warning",
)  # fmt: skip
