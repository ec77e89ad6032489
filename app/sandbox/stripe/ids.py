"""Ids in Stripe's form. By chance and not by the seed: two sandboxes that share a database must never give one id twice."""

from __future__ import annotations

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits
_LONG = {"cs_test": 58, "bps": 24, "pi": 24, "ch": 24, "evt": 24, "seti": 24, "req": 14, "cus": 14}


def new_id(prefix: str) -> str:
    """Return a fresh id such as ``pi_3f…``."""
    return f"{prefix}_{chance(_LONG.get(prefix, 24))}"


def chance(length: int) -> str:
    """Return so many letters and digits by chance."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
