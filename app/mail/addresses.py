"""Mail addresses: one mailbox each, in the plain form that every server takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.headerregistry import Address
from email.utils import parseaddr

_LOCAL = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN = re.compile(rf"{_LOCAL}@{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_LENGTH_MAX = 254


class BadAddressError(ValueError):
    """The text is no single mail address in the plain form."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mail address and perhaps the name of whom it belongs to."""

    address: str
    name: str = ""

    @classmethod
    def of(cls, address: str) -> Mailbox:
        """Return the mailbox of a bare address; a domain in another script is written as DNS has it.

        Raises:
            BadAddressError: it is no single address.
        """
        local, at, domain = address.rpartition("@")
        try:
            plain = local + at + domain.encode("idna").decode("ascii")
        except UnicodeError:
            raise BadAddressError("is no mail address") from None
        if len(plain) > _LENGTH_MAX or not _PLAIN.fullmatch(plain) or ".." in plain or local.startswith("."):
            raise BadAddressError("is no mail address")
        return cls(plain)

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """Read ``Name <address>`` or a bare address.

        Raises:
            BadAddressError: it is neither.
        """
        name, address = parseaddr(text)
        if not name.isprintable():
            raise BadAddressError("has a name that can't be printed")
        return cls(cls.of(address).address, name)

    @property
    def domain(self) -> str:
        """Return what stands behind the ``@``."""
        return self.address.rpartition("@")[2]

    @property
    def header(self) -> Address:
        """Return the form that a message's header takes."""
        return Address(self.name, addr_spec=self.address)
