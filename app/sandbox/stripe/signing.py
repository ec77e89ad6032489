"""The signature on a webhook: HMAC-SHA-256 over the second and the very bytes that are sent."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence


def signature(body: bytes, secrets: Sequence[str], *, at: int) -> str:
    """Return the ``Stripe-Signature`` header; with several secrets, while one is rolled, one signature by each."""
    signed = f"{at}.".encode() + body
    marks = (hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join([f"t={at}", *(f"v1={mark}" for mark in marks)])
