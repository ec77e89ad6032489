"""The secret of an API key: ``hg_live_`` or ``hg_test_``, 32 random bytes in base 62, and a checksum of 6 characters.

The checksum is no protection; it keeps typing errors and noise away from the database and lets a scanner of leaked
text tell a key from a look-alike. What is stored is an HMAC under a pepper that the database does not hold; against
256 random bits a slow hash would buy nothing.
"""

from __future__ import annotations

import hmac
import re
import secrets
import zlib
from typing import Literal

Mode = Literal["live", "test"]

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_BYTES, _BODY_LENGTH, _CHECKSUM_LENGTH = 32, 43, 6
_FORM = re.compile(r"hg_(?:live|test)_[0-9A-Za-z]{49}", re.ASCII)
_SHOWN_LENGTH = 12


def new_secret(mode: Mode) -> str:
    """Return a fresh secret."""
    body = f"hg_{mode}_{_base62(int.from_bytes(secrets.token_bytes(_RANDOM_BYTES)), _BODY_LENGTH)}"
    return body + _checksum(body)


def is_well_formed(secret: str) -> bool:
    """Say whether a text has the form of a secret and its checksum is right."""
    return bool(_FORM.fullmatch(secret)) and _checksum(secret[:-_CHECKSUM_LENGTH]) == secret[-_CHECKSUM_LENGTH:]


def digest(secret: str, *, pepper: bytes) -> bytes:
    """Return the 32 bytes by which a secret is known to the database."""
    return hmac.digest(pepper, secret.encode(), "sha256")


def shown_parts(secret: str) -> tuple[str, str]:
    """Return what may be shown of a secret later on: its first 12 and its last 4 characters."""
    return secret[:_SHOWN_LENGTH], secret[-4:]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
