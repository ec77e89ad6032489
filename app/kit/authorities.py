"""Whose certificates our clients trust."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def trusted(*, trust_env: bool) -> ssl.SSLContext:
    """Return what checks certificates by the public authorities, or by those that the environment names, if trusted.

    All clients of a process have the same one: to read the authorities takes longer than most calls.
    """
    return httpx.create_ssl_context(trust_env=trust_env)
