"""The token of an invitation: 32 random bytes behind a prefix by which it can be told from a key."""

from __future__ import annotations

import hmac
import re
import secrets

_PREFIX = "hgi_"
_FORM = re.compile(r"hgi_[A-Za-z0-9_-]{43}", re.ASCII)


def new_token() -> str:
    """Return a fresh token."""
    return _PREFIX + secrets.token_urlsafe(32)


def is_token(text: str) -> bool:
    """Say whether a text has the form of a token."""
    return bool(_FORM.fullmatch(text))


def token_hash(token: str, *, pepper: bytes) -> bytes:
    """Return the 32 bytes by which a token is known to the database; no key's are the same."""
    return hmac.digest(pepper, b"invitation " + token.encode(), "sha256")
