"""Payments: what Stripe says of one becomes what the ledger says; refunds and disputes with it."""
