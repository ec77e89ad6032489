"""Topups: money from cards. The only room that speaks Stripe."""
