"""Stripe in the sandbox: an account in test mode that speaks version 2026-10-28.endive of the API.

Promises: the calls for customers, checkout and its pages, saved cards, off-session payments, refunds, disputes, events
and the portal, answered in Stripe's shapes; Stripe's test cards with their meanings; idempotency keys; signed webhooks
with retries; and on demand everything that goes wrong between Stripe and a merchant. ``StripeAccount`` steers it.
"""

from __future__ import annotations

from app.sandbox.stripe.account import CardDeclined, StripeAccount
from app.sandbox.stripe.control import StripeControl
from app.sandbox.stripe.truth import PaymentTruth, StripeTruth

__all__ = ["CardDeclined", "PaymentTruth", "StripeAccount", "StripeControl", "StripeTruth"]
