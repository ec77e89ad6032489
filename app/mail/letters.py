"""A letter: one message to one mailbox, the same bytes however often it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from app.mail.addresses import Mailbox

_POLICY = SMTP.clone(cte_type="7bit")


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent. Nothing in it depends on when or how often that is tried."""

    message_id: str
    written_at: datetime
    sender: Mailbox
    to: Mailbox
    subject: str
    text: str

    def as_bytes(self) -> bytes:
        """Return the message by RFC 5322: seven bits, CRLF, lines of bounded length."""
        message = EmailMessage(policy=_POLICY)
        message["Date"] = format_datetime(self.written_at)
        message["From"] = self.sender.header
        message["To"] = self.to.header
        message["Subject"] = self.subject
        message["Message-ID"] = self.message_id
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self.text)
        return message.as_bytes()
