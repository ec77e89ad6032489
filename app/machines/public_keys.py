"""Public SSH keys as people paste them: one key, plain, strong enough, and brought to one canonical line."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

import asyncssh
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app.kit.errors import AppError

MAX_BYTES = 16 * 1024
_MAX_COMMENT = 256
_MIN_RSA_BITS = 2048
_TYPES = frozenset(
    {
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "ssh-rsa",
    }
)


class WeakKey(AppError):
    """The key is too weak: DSA, or RSA of fewer than 2048 bits."""

    status = 422
    code = "weak_key"
    suggestion = "Make a new key with: ssh-keygen -t ed25519"


class MalformedKey(AppError):
    """This is not one public SSH key."""

    status = 422
    code = "validation_failed"
    suggestion = "Paste the one line of the .pub file, such as: ssh-ed25519 AAAA… you@laptop"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that may go into ``authorized_keys``."""

    type: str
    blob: bytes
    comment: str

    @property
    def fingerprint(self) -> str:
        """The key's SHA-256 as OpenSSH writes it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def text(self) -> str:
        """The canonical line, without a line end."""
        return f"{self.type} {base64.b64encode(self.blob).decode()} {self.comment}".rstrip()


def parse_public_key(text: str) -> PublicKey:
    """Return the key that a text in OpenSSH's one-line form holds; white space around it is ignored.

    Raises:
        WeakKey: DSA, or RSA of fewer than 2048 bits.
        MalformedKey: anything else that is not one plain key: options, several lines, certificates, private keys.
    """
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise MalformedKey(f"A public key takes at most {MAX_BYTES} bytes.")
    line = text.strip(" \t\r\n")
    if not line.replace("\t", " ").isprintable():
        raise MalformedKey("A public key is one line without control characters.")
    kind, _, rest = line.replace("\t", " ").partition(" ")
    encoded, _, comment = rest.strip(" ").partition(" ")
    if kind == "ssh-dss":
        raise WeakKey("DSA keys are not accepted.")
    if kind not in _TYPES:
        raise MalformedKey("A public key begins with its type, such as ssh-ed25519; options are not accepted.")
    if len(comment) > _MAX_COMMENT:
        raise MalformedKey(f"A key's comment takes at most {_MAX_COMMENT} characters.")
    blob = _decoded(encoded)
    _check(kind, blob)
    return PublicKey(kind, blob, comment.strip(" "))


def _decoded(encoded: str) -> bytes:
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedKey("The key's second word is not base64.") from None
    if base64.b64encode(blob).decode() != encoded:
        raise MalformedKey("The key's second word is not canonical base64.")
    return blob


def _check(kind: str, blob: bytes) -> None:
    """Refuse a blob that is not a key of the kind that the line claims."""
    try:
        key = asyncssh.import_public_key(f"{kind} {base64.b64encode(blob).decode()}")
    except ValueError:
        raise MalformedKey("The key's content is damaged or of another type.") from None
    if key.public_data != blob:
        raise MalformedKey("The key's content is not in its canonical form.")
    numbers = getattr(key, "pyca_key", None)
    if isinstance(numbers, RSAPublicKey) and numbers.key_size < _MIN_RSA_BITS:
        raise WeakKey(f"RSA keys need at least {_MIN_RSA_BITS} bits; this one has {numbers.key_size}.")
