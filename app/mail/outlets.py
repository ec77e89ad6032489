"""Where letters go: to a server (``smtp``), or to the log where none is set."""

from __future__ import annotations

from typing import Literal, Protocol

import structlog

from app.mail.letters import Letter

log = structlog.get_logger("hourglass.mail")

Outcome = Literal["sent", "logged"]


class Outlet(Protocol):
    """Takes letters, one at a time or many at once."""

    async def deliver(self, letter: Letter) -> Outcome:
        """Give a letter away.

        Raises:
            Deferred: not now.
            Refused: never.
        """
        ...


class LogOutlet:
    """Writes letters to the log: for a deployment without a mail server."""

    async def deliver(self, letter: Letter) -> Outcome:
        """Log a letter as it would have been sent."""
        log.info("mail.logged", to=letter.to.address, subject=letter.subject, text=letter.text)
        return "logged"
