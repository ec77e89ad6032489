"""The platform's public SSH key: read, compared and named the same for every cloud."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from app.providers.errors import Rejected

_KINDS = frozenset({"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"})
_FINGERPRINT_LENGTH = 16
_BLOB_MAX = 1024


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key without its comment. Two lines with different comments are equal."""

    kind: str
    body: str
    """Base 64 of the key."""

    @property
    def line(self) -> str:
        """The key as ``authorized_keys`` has it."""
        return f"{self.kind} {self.body}"

    @property
    def name(self) -> str:
        """A name that follows from the key, so that two processes come to the same."""
        digest = hashlib.sha256(base64.b64decode(self.body)).hexdigest()
        return f"hourglass-{digest[:_FINGERPRINT_LENGTH]}"


def parse_public_key(line: str) -> PublicKey:
    """Read an Ed25519 or ECDSA public key.

    Raises:
        Rejected: another kind, or no key at all.
    """
    found = find_public_key(line)
    if found is None:
        raise Rejected("the platform's SSH key must be one Ed25519 or ECDSA public key")
    return found


def find_public_key(line: object) -> PublicKey | None:
    """Return the key in a line that a cloud keeps, None for kinds that we don't use and for garbage."""
    words = line.split() if isinstance(line, str) and "\n" not in line.strip() else []
    kind, body = words[:2] if len(words) > 1 else ("", "")
    if kind not in _KINDS:
        return None
    try:
        blob = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return None
    header = len(kind).to_bytes(4, "big") + kind.encode()
    return PublicKey(kind, body) if blob.startswith(header) and len(header) < len(blob) <= _BLOB_MAX else None
