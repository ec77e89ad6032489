"""Refills: when a wallet asks its card for more, within which caps."""
