"""Topups: money from cards. The only room that speaks Stripe."""

from app.topups.gateway import LiveKeyError, Stripe
from app.topups.tools import TopupTools

__all__ = ["LiveKeyError", "Stripe", "TopupTools"]
