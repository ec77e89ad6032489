"""Visits to Stripe's pages: deposits and cards to save, and what they leave behind."""
