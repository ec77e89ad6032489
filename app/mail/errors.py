"""What can happen to a letter on its way.

Undelivered
├── Deferred   not now: the way or the server fails, or it asks to come back
└── Refused    never: the server will not take this letter, or it can't be written
"""

from __future__ import annotations


class Undelivered(Exception):
    """The letter was not taken, as far as we know."""

    def __init__(self, reason: str) -> None:
        """Take the reason in words that an operator reads; it holds no password."""
        super().__init__(reason)
        self.reason = reason


class Deferred(Undelivered):
    """The letter may be taken later."""


class Refused(Undelivered):
    """The letter will not be taken."""
