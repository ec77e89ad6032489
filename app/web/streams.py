"""Streams of server-sent events: who asks for one, how many an account may have open, and how long they last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastapi import Request

from app.web.errors import RateLimited

MEDIA_TYPE: Final = "text/event-stream"
POLL_SECONDS: Final = 1.0
KEEP_ALIVE_SECONDS: Final = 15.0
LIFE_SECONDS: Final = 30 * 60.0
STREAMS_MAX: Final = 20
"""How many streams an account may have open at one process: each looks into the database every second."""
STREAM_HEADERS: Final = {"X-Accel-Buffering": "no"}
"""Keeps a proxy from gathering events before it passes them on."""


class Streams:
    """Counts the open streams of each account in this process."""

    def __init__(self, *, per_account: int = STREAMS_MAX) -> None:
        self._per_account = per_account
        self._open: Counter[str] = Counter()

    def require_room(self, account_id: str) -> None:
        """Pass when the account may open one more.

        Raises:
            RateLimited: it has as many as it may.
        """
        if self._open[account_id] >= self._per_account:
            raise RateLimited(
                f"There are {self._per_account} event streams open already.", headers={"Retry-After": "60"}
            )

    @contextmanager
    def counted(self, account_id: str) -> Iterator[None]:
        """Count a stream while it is open."""
        self._open[account_id] += 1
        try:
            yield
        finally:
            self._open[account_id] -= 1
            if not self._open[account_id]:
                del self._open[account_id]


STREAMS: Final = Streams()


def wants_stream(request: Request) -> bool:
    """Say whether the caller asks for server-sent events."""
    return MEDIA_TYPE in request.headers.get("accept", "").lower()
