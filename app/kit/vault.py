"""Secrets at rest: AES-256-GCM, bound to the very cell they stand in."""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_VERSION = b"\x01"


class VaultError(Exception):
    """The sealed text is not this cell's, or was sealed under another secret."""


class Vault:
    """Seals and opens small texts with a key derived from the deployment's secret."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(hmac.new(secret, b"vault", hashlib.sha256).digest())

    def seal(self, text: str, *, cell: str) -> bytes:
        """Return the sealed text. ``cell`` names table, column, account and row, so that texts can't be swapped."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, text.encode(), cell.encode())

    def open(self, sealed: bytes, *, cell: str) -> str:
        """Return the text.

        Raises:
            VaultError: sealed elsewhere, altered, or under another secret.
        """
        if sealed[:1] != _VERSION:
            raise VaultError("sealed in a form unknown here")
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, body, cell.encode()).decode()
        except InvalidTag:
            raise VaultError("sealed for another cell or under another secret") from None
