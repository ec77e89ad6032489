"""Secrets of browsers: 32 random bytes each, kept only as an HMAC under a pepper that the database does not hold.

A session's secret is followed by one that is derived from it under the pepper. So every answer to a browser that still
shows the old one can give it the same new one, and a lost answer or several requests at once lock nobody out; without
the pepper nobody can go from the one to the other.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets

_RANDOM_BYTES = 32
_FORM = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class Tokens:
    """Makes what is random, and derives from it what only this service can."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper

    @staticmethod
    def new() -> str:
        """Return a fresh secret of 43 characters that fit into a cookie and a URL."""
        return secrets.token_urlsafe(_RANDOM_BYTES)

    @staticmethod
    def is_well_formed(text: str) -> bool:
        """Say whether a text has the form of a secret."""
        return bool(_FORM.fullmatch(text))

    def hash(self, secret: str) -> bytes:
        """Return the 32 bytes by which a secret is known to the database."""
        return self._mac("hash", secret)

    def successor(self, secret: str) -> str:
        """Return the secret that takes the place of this one."""
        return _text(self._mac("successor", secret))

    def csrf(self, session_id: str, account_id: str) -> str:
        """Return what the pages of a session carry while it acts in an account."""
        return _text(self._mac("csrf", session_id, account_id))

    def verifier(self, browser: str, state: str) -> str:
        """Return the PKCE verifier of a sign-in, known to nobody but who knows what the browser keeps and the pepper."""
        return _text(self._mac("pkce", browser, state))

    def _mac(self, purpose: str, *texts: str) -> bytes:
        return hmac.digest(self._pepper, "\0".join((purpose, *texts)).encode(), "sha256")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
