"""What people have allowed: codes on their way to the app, and the tokens they were given for."""

from __future__ import annotations

import base64
import hashlib
import secrets
import string
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

CODE_LASTS = timedelta(minutes=10)
_ALPHABET = string.ascii_letters + string.digits
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True, slots=True)
class Wish:
    """What an app asks of whoever comes to the page."""

    client_id: str
    redirect_uri: str
    """Where the browser goes back to; the registered address when the app named none."""
    scope: str
    state: str
    challenge: str
    """The S256 challenge; empty without PKCE."""


@dataclass(frozen=True, slots=True)
class _Code:
    wish: Wish
    github_id: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """What a token is good for."""

    github_id: int
    scopes: tuple[str, ...]


class Grants:
    """Codes and tokens. A code is gone once it was shown, rightly or with the wrong verifier."""

    def __init__(self) -> None:
        self._codes: dict[str, _Code] = {}
        self._tokens: dict[str, Token] = {}

    def allow(self, wish: Wish, github_id: int, *, at: datetime) -> str:
        """Return the code that a browser carries back to the app."""
        code = secrets.token_hex(10)
        self._codes[code] = _Code(wish, github_id, at + CODE_LASTS)
        return code

    def exchange(self, code: str, *, redirect_uri: str, verifier: str, at: datetime) -> tuple[str, Token] | str:
        """Return the token for a code, or the name of GitHub's error."""
        known = self._codes.get(code)
        if known is None or known.expires_at <= at:
            return "bad_verification_code"
        if redirect_uri and redirect_uri != known.wish.redirect_uri:
            return "redirect_uri_mismatch"
        del self._codes[code]
        if known.wish.challenge and challenge_of(verifier) != known.wish.challenge:
            return "bad_verification_code"
        text = "gho_" + "".join(secrets.choice(_ALPHABET) for _ in range(36))
        token = self._tokens[text] = Token(known.github_id, tuple(known.wish.scope.replace(",", " ").split()))
        return text, token

    def find(self, text: str) -> Token | None:
        """Return what a token is good for."""
        return self._tokens.get(text)


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636, 4.2)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def is_registered(redirect_uri: str, callback_url: str) -> bool:
    """Say whether an address is the registered one or below it; on a loopback host at any port, as GitHub has it."""
    asked, registered = urlsplit(redirect_uri), urlsplit(callback_url)
    same_host = asked.hostname == registered.hostname and asked.scheme == registered.scheme
    same_port = asked.port == registered.port or registered.hostname in _LOOPBACK
    path, below = registered.path.rstrip("/"), asked.path.rstrip("/")
    return same_host and same_port and ".." not in below and (below == path or below.startswith(f"{path}/"))
