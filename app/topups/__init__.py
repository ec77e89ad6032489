"""Topups: money from cards. The only room that speaks Stripe, and in it only the gateway.

Promised: a cent that was paid is credited once, whatever Stripe, the network or the customer does; what goes back to a
card is taken from the wallet once; no card is charged twice for one attempt. An event only says where to look: the
object is fetched, and the ledger is made to say what it says. Stripe is never called in a transaction.
In it: ``gateway`` (Stripe's facts), ``payments`` (credit, refunds, disputes), ``visits`` (pages that take cards),
``charging`` (cards charged by a wallet's rule), ``events`` (what Stripe tells), ``books`` (both sides compared).
Tables: customers, payment_methods, checkouts, payments, refunds, disputes, stripe_events, reconciliations.
"""

from app.topups.gateway.account import LiveKeyError, Stripe
from app.topups.gateway.errors import GatewayError
from app.topups.payments.receipts import Receipt, find_receipts
from app.topups.tools import TopupTools

__all__ = ["GatewayError", "LiveKeyError", "Receipt", "Stripe", "TopupTools", "find_receipts"]
