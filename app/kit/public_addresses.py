"""Which addresses belong to the public internet: the only ones that we connect to because a customer said so.

By the registries of special-purpose addresses (RFC 6890 and what followed), written down here, since Python's own
``is_global`` differs between versions. An IPv4 address inside an IPv6 one is judged by itself, and the tunnels that hide
one (6to4, Teredo, ISATAP) are refused whole: nobody needs them to be reached.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NOT_PUBLIC_4: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network; on Linux 0.0.0.0 is this very machine
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT, and some clouds' metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # the host under a machine at Azure
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, and Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_UNICAST_6: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # given back with the 6bone
        "3fff::/20",  # documentation
    )
)
_WITH_IPV4_AT_THE_END: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "::ffff:0:0/96",  # mapped
        "64:ff9b::/96",  # NAT64
    )
)
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})


def is_public(address: Address) -> bool:
    """Say whether an address is one of the public internet's, to which anybody may connect."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id is not None:
        return False
    inside = _inside(address)
    if inside is not None:
        return is_public(inside)
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return False
    return address in _UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, where it is another way to write one."""
    return (_inside(address) or address) if isinstance(address, ipaddress.IPv6Address) else address


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks such as ``10.1.0.0/16`` or a single address.

    Raises:
        ValueError: one is none, or has bits beyond its prefix.
    """
    return tuple(ipaddress.ip_network(text) for text in texts)


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if any(address in network for network in _WITH_IPV4_AT_THE_END):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
