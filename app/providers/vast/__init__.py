"""Vast.ai: a marketplace of hosts. On demand and by bid, per second; disk is charged apart and also while stopped."""

from app.providers.vast.adapter import VastProvider

__all__ = ["VastProvider"]
