"""Secrets of endpoints, and the signatures by them: Standard Webhooks, symmetric (``v1``)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from standardwebhooks import Webhook

_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32


def new_secret() -> str:
    """Return a new secret in the form that every library of Standard Webhooks takes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def cell(account_id: str, endpoint_id: str) -> str:
    """Return what a sealed secret is bound to; the one before stands in the same row."""
    return f"webhook_endpoints.secret:{account_id}:{endpoint_id}"


def signed_headers(keys: Sequence[str], *, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Return the headers of a message: its id, the time, and a signature by each secret that is in force."""
    text = body.decode()
    signatures = [Webhook(key).sign(msg_id=message_id, timestamp=at, data=text) for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
