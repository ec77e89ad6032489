"""Where a customer's URL leads, read in one strict way: what is read here is what is connected to.

Most ways around a guard are URLs that two readers read differently: user names before the host, numbers in other bases,
spaces, backslashes, letters that become others. None of them is a URL here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.kit.public_addresses import Address, Network, is_public, unwrapped

URL_CHARACTERS_MAX: Final = 2_048
HTTPS_PORT: Final = 443
_FREE_PORTS: Final = range(1_024, 65_536)
"""Below stand other protocols (mail, SSH, DNS), which a stranger must not have us speak to."""

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})+", re.ASCII)
_NAME_CHARACTERS_MAX: Final = 253
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_URL: Final = re.compile(
    r"[Hh][Tt][Tt][Pp][Ss]://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>[/?][A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*)?",
    re.ASCII,
)


class RefusedDestination(Exception):
    """We do not connect there; the reason may be told to whoever gave the URL."""

    def __init__(self, reason: str) -> None:
        """Take the reason, in words that tell nothing of our network."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Destination:
    """A host to look up, or an address; a port, and what is asked for there."""

    host: str
    """A name in lower case, or an address in its canonical form."""
    port: int
    target: str

    @property
    def address(self) -> Address | None:
        """Return the address, where the URL names no host."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def authority(self) -> str:
        """Return the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == HTTPS_PORT else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Rules:
    """Which addresses may be connected to: public ones, those allowed on purpose, and never those that are refused."""

    allowed: Sequence[Network] = ()
    """Networks of one's own that customers may name: for a private installation, and for tests."""
    refused: Sequence[Network] = ()
    """Public networks that no customer may have us speak to, such as the operator's own."""

    def allow(self, address: Address) -> bool:
        """Say whether an address may be connected to."""
        meant = unwrapped(address)
        if any(meant in network for network in self.refused):
            return False
        return is_public(address) or any(meant in network for network in self.allowed)

    def read(self, url: str) -> Destination:
        """Read an https URL whose host is a full name or an address that may be connected to.

        A name is judged when it is looked up, each time.

        Raises:
            RefusedDestination: it is anything else.
        """
        found = _URL.fullmatch(url)
        if found is None or len(url) > URL_CHARACTERS_MAX:
            raise RefusedDestination(
                "must be an https URL of plain ASCII with a host and perhaps a port, a path and a query"
            )
        port = int(found["port"] or HTTPS_PORT)
        if port != HTTPS_PORT and port not in _FREE_PORTS:
            raise RefusedDestination("must use port 443 or one above 1023")
        target = found["target"] or "/"
        target = target if target.startswith("/") else f"/{target}"
        destination = Destination(_host(found["host"]), port, target)
        address = destination.address
        if address is not None and not self.allow(address):
            raise RefusedDestination("must not name an address that is not public")
        return destination


def without_path(url: str) -> str:
    """Return a URL's scheme and host, for those who need not know more: a path or a query may be a secret."""
    found = _URL.fullmatch(url)
    return url[: found.end("host")] if found else ""


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError:
            raise RefusedDestination("has brackets around something that is no IPv6 address") from None
    if _NUMBER.fullmatch(text.rpartition(".")[2]):  # whoever looks it up would read it as an address, in some base
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            raise RefusedDestination("must write an IPv4 address as four decimal numbers") from None
    if len(text) > _NAME_CHARACTERS_MAX or not _NAME.fullmatch(text):
        raise RefusedDestination("must have a full host name, such as hooks.example.com")
    return text.lower()
