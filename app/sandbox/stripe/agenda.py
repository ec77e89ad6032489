"""What is due later: sessions that expire, refunds and bank debits whose outcome comes."""

from __future__ import annotations

import heapq


class Agenda:
    """Ids by the second at which something is due."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, str]] = []

    def add(self, due: float, object_id: str) -> None:
        """Put an object down for a second."""
        heapq.heappush(self._entries, (due, object_id))

    def due(self, now: float) -> list[str]:
        """Take out what is due, in order."""
        found = []
        while self._entries and self._entries[0][0] <= now:
            found.append(heapq.heappop(self._entries)[1])
        return found
