"""Entity tags: who changes a resource can say which version was read."""

from __future__ import annotations

import hashlib

from fastapi import Request

from app.web.errors import EtagMismatch


def etag(*parts: object) -> str:
    """Return the strong entity tag of a resource's version, from its id and whatever changes with it."""
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=12).hexdigest()
    return f'"{digest}"'


def check_match(request: Request, current: str) -> None:
    """Pass when the request names no version, any version, or the current one.

    Raises:
        EtagMismatch: ``If-Match`` names only other versions.
    """
    wanted = request.headers.get("if-match")
    if wanted is None or wanted.strip() == "*":
        return
    if current not in [tag.strip() for tag in wanted.split(",")]:
        raise EtagMismatch(headers={"ETag": current})
