"""Mail: what is told by e-mail, written in the transaction of the change and sent afterwards.

Promised: a mail is written with its cause or not at all, once per key and address; it is sent once as far as SMTP can
promise that (a server that took it and could not say so gets the very same message again, under the same Message-ID);
what a value holds can't become a header, a second recipient or another line.
Table: mails. States: queued → sent | logged (no server is set) | failed (refused, or not delivered in three days).
Called by every room that tells a customer something.
"""

from app.mail.addresses import BadAddressError, Mailbox
from app.mail.letters import Letter
from app.mail.outlets import LogOutlet, Outlet
from app.mail.smtp import Smtp
from app.mail.wording import TemplateName
from app.mail.writing import count_written, write

__all__ = [
    "BadAddressError",
    "Letter",
    "LogOutlet",
    "Mailbox",
    "Outlet",
    "Smtp",
    "TemplateName",
    "count_written",
    "write",
]
