"""Connecting to PostgreSQL: each host of a URL is tried with a time-out of its own.

asyncpg's own list of hosts has one time-out for all of them, so a primary that hangs hides every host behind it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

_HOST_TIMEOUT_SECONDS = 3.0
_STATEMENT_TIMEOUT_SECONDS = 60.0


async def connect_any(url: str, *, application_name: str) -> asyncpg.Connection[Any]:
    """Return a connection to the first host that answers and takes writes.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError: what the last host said when none would serve.
    """
    last: Exception | None = None
    for host_url in host_urls(url):
        try:
            return await asyncpg.connect(
                host_url,
                timeout=_HOST_TIMEOUT_SECONDS,
                command_timeout=_STATEMENT_TIMEOUT_SECONDS,
                statement_cache_size=512,
                server_settings={"application_name": application_name},
                target_session_attrs=SessionAttribute.read_write,
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            last = error
    raise last or ValueError("the database URL names no host")


def host_urls(url: str) -> list[str]:
    """Split a URL that names several hosts into one URL per host."""
    parts = urlsplit(url)
    userinfo, at, hosts = parts.netloc.rpartition("@")
    return [urlunsplit(parts._replace(netloc=f"{userinfo}{at}{host}")) for host in hosts.split(",")]


def with_user(url: str, *, user: str, password: str) -> str:
    """Return the same URL for another user."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(user)}:{quote(password, safe='')}@{hosts}"))


def with_database(url: str, database: str) -> str:
    """Return the same URL for another database of the server."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key != "dbname"]
    return urlunsplit(parts._replace(path=f"/{quote(database)}", query=urlencode(query)))


def database_name(url: str) -> str:
    """Return the database that a URL names."""
    return unquote(urlsplit(url).path.lstrip("/")) or "postgres"
