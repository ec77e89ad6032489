"""Browsers: where they reach the service, the cookies they keep for it, and whether a page of ours has sent a request.

A cookie is sent whoever makes the browser send it. So a request that changes something must also carry a token that
only our own pages can read, and come from our own origin by what the browser says of it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from starlette.types import Scope

from app.web.errors import CsrfFailed

SESSION = "hourglass"
"""The name of the session's cookie, ``__Host-hourglass`` over https."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods of requests that change nothing."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Site:
    """The service as browsers know it."""

    url: str
    origin: str
    secure: bool
    """Whether browsers come over https. Without, as on one machine, cookies can't ask for it."""

    @classmethod
    def at(cls, public_url: str) -> Self:
        """Return the site with a public URL."""
        parts = urlsplit(public_url)
        host = (parts.hostname or "").lower()
        host = f"[{host}]" if ":" in host else host
        port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
        return cls(public_url.rstrip("/"), f"{parts.scheme}://{host}{port}", parts.scheme == "https")

    def cookie_name(self, name: str) -> str:
        """Return a cookie's full name: no other host, not even a subdomain's, can plant one of the ``__Host-`` kind."""
        return f"__Host-{name}" if self.secure else name

    def cookie(self, name: str, value: str, *, seconds: int) -> str:
        """Return the header that sets a cookie for so long; 0 removes it."""
        secure = "; Secure" if self.secure else ""
        return f"{self.cookie_name(name)}={value}; Path=/; Max-Age={seconds}{secure}; HttpOnly; SameSite=Lax"

    def find_cookie(self, scope: Scope, name: str) -> str | None:
        """Return a cookie's value; None when there is none, or two that leave open which one counts."""
        wanted = self.cookie_name(name).encode()
        lines = b";".join(value for header, value in scope["headers"] if header == b"cookie")
        pairs = (pair.strip().partition(b"=") for pair in lines.split(b";"))
        found = [value for key, _, value in pairs if key == wanted]
        return str(found[0], "latin-1") if len(found) == 1 else None

    def check_sender(self, scope: Scope, *, token: str) -> None:
        """Pass a request that changes nothing, or that a page of this site has sent with its token.

        Raises:
            CsrfFailed: another page's request, or one of which nobody says where it comes from.
        """
        if scope["method"] in SAFE_METHODS:
            return
        given = _values(scope, b"x-csrf-token")
        if len(given) != 1 or not hmac.compare_digest(given[0], token.encode()):
            raise CsrfFailed
        origins, fetched = _values(scope, b"origin"), _values(scope, b"sec-fetch-site")
        told = [origin == self.origin.encode() for origin in origins] + [site == b"same-origin" for site in fetched]
        if not told or not all(told):
            raise CsrfFailed


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for header, value in scope["headers"] if header == name]
