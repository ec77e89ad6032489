"""The way to a mail server: plain with STARTTLS, or TLS from the start, with or without a sign-in, by one URL.

``smtp://user:password@host:587`` or ``smtps://…``, with ``?starttls=required|offered|never`` and ``?ca=/path/to/ca.pem``.
A password never travels in the clear beyond this machine, and a certificate is always checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import aiosmtplib

from app.mail.errors import Deferred, Refused
from app.mail.letters import Letter
from app.mail.outlets import Outcome

StartTls = Literal["required", "offered", "never"]
_STARTTLS: dict[StartTls, bool | None] = {"required": True, "offered": None, "never": False}
_GOODBYE_SECONDS = 2.0
_PERMANENT = range(500, 600)


@dataclass(frozen=True, slots=True)
class Smtp:
    """A mail server. Each letter has a connection of its own and one deadline for all that is said on it."""

    host: str
    port: int
    tls: bool = False
    starttls: StartTls = "offered"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = None
    deadline_seconds: float = 30.0

    @classmethod
    def from_url(cls, url: str, *, deadline_seconds: float = 30.0) -> Smtp:
        """Read a URL.

        Raises:
            ValueError: it can't be; the message does not repeat it.
        """
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname
        except ValueError:
            raise ValueError("must be a URL such as smtp://user:password@host:587") from None
        if parts.scheme not in ("smtp", "smtps") or not host or parts.path.strip("/"):
            raise ValueError("must be a URL such as smtp://user:password@host:587")
        tls = parts.scheme == "smtps"
        options = _options(parts, tls=tls)
        user = unquote(parts.username) if parts.username else None
        starttls = options.get("starttls", "required" if user and not _is_local(host) else "offered")
        if user and not tls and starttls != "required" and not _is_local(host):
            raise ValueError("must use TLS when it holds a password")
        return cls(
            host=host,
            port=port or (465 if tls else 587 if user else 25),
            tls=tls,
            starttls=_starttls(starttls),
            user=user,
            password=unquote(parts.password) if parts.password else None,
            ca=options.get("ca"),
            deadline_seconds=deadline_seconds,
        )

    async def deliver(self, letter: Letter) -> Outcome:
        """Hand a letter to the server.

        Raises:
            Deferred: there was no answer in time, or one that is about us or about now.
            Refused: the server will not take this letter.
        """
        client = self._client(letter.sender.domain)
        try:
            with _told():
                async with asyncio.timeout(self.deadline_seconds):
                    await client.connect()
                    await client.sendmail(letter.sender.address, [letter.to.address], letter.as_bytes())
        except BaseException:
            client.close()
            raise
        await _say_goodbye(client)
        return "sent"

    def _client(self, name: str) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            username=self.user,
            password=self.password,
            local_hostname=name,
            timeout=self.deadline_seconds,
            use_tls=self.tls,
            start_tls=None if self.tls else _STARTTLS[self.starttls],
            cert_bundle=self.ca,
        )


def _options(parts: SplitResult, *, tls: bool) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := set(options) - {"starttls", "ca"}:
        raise ValueError(f"has {len(unknown)} unknown options; there are starttls and ca")
    if tls and "starttls" in options:
        raise ValueError("has starttls beside smtps, which is TLS from the start")
    return options


def _starttls(text: str) -> StartTls:
    for known in _STARTTLS:
        if text == known:
            return known
    raise ValueError("has a starttls that is none of required, offered, never")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Tell what went wrong as ``Deferred`` or ``Refused``.

    What the server says for good about the recipient or the message is final. What it says about us (the greeting, the
    sign-in, the sender) is for the operator to mend meanwhile.
    """
    try:
        yield
    except aiosmtplib.SMTPRecipientsRefused as error:
        raise _by_code(error.recipients[0].code, error.recipients[0].message) from None
    except aiosmtplib.SMTPDataError as error:
        raise _by_code(error.code, error.message) from None
    except aiosmtplib.SMTPResponseException as error:
        raise Deferred(f"{error.code} {error.message}") from None
    except (aiosmtplib.SMTPException, OSError, ssl.SSLError, TimeoutError) as error:
        raise Deferred(str(error) or type(error).__name__) from None


def _by_code(code: int, message: str) -> Deferred | Refused:
    return (Refused if code in _PERMANENT else Deferred)(f"{code} {message}")


async def _say_goodbye(client: aiosmtplib.SMTP) -> None:
    """End the conversation. The letter is taken: whatever happens to the goodbye, it must not be sent again."""
    with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
        await client.quit(timeout=_GOODBYE_SECONDS)
    client.close()
