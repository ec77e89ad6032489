from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.public_addresses import is_public, networks

NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1",
    "127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1",
    "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::2", "100::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "febf::1", "fec0::1", "ff02::1",
    "ff0e::1", "2001:db8::1", "3fff::1", "2001::1", "2001:2::1", "2001:10::1", "2002::1", "3ffe::1", "5f00::1", "4000::1",
    "::ffff:0:8.8.8.8", "64:ff9b:1::8.8.8.8", "2606:4700::1111%eth0", "fe80::1%1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
    "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
    "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888",
]  # fmt: skip


def tunnelled(four: str) -> list[str]:
    """Every way in which an IPv6 address has carried an IPv4 one."""
    number = int(ipaddress.IPv4Address(four))
    high, low, inverted = number >> 16, number & 0xFFFF, number ^ 0xFFFFFFFF
    return [
        f"::ffff:{four}",
        f"::ffff:{high:x}:{low:x}",
        f"::{four}",
        f"::ffff:0:{four}",
        f"64:ff9b::{four}",
        f"64:ff9b:1::{four}",
        f"2002:{high:x}:{low:x}::1",
        f"2002:{high:x}:{low:x}::",
        f"2001:0:{high:x}:{low:x}:0:0:0:0",
        f"2001:0:101:101:0:0:{inverted >> 16:x}:{inverted & 0xFFFF:x}",
        f"2606:4700::5efe:{four}",
        f"2606:4700::200:5efe:{four}",
        f"fe80::5efe:{four}",
    ]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_what_is_no_part_of_the_public_internet_is_not_public(text):
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_next_to_it_is_public(text):
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("four", [text for text in NOT_PUBLIC if ":" not in text])
def test_no_tunnel_makes_an_address_public(four):
    assert [text for text in tunnelled(four) if is_public(ipaddress.ip_address(text))] == []


def test_a_public_address_stays_public_where_it_is_only_written_otherwise_and_tunnels_are_never():
    public = [text for text in tunnelled("8.8.8.8") if is_public(ipaddress.ip_address(text))]
    assert public == ["::ffff:8.8.8.8", "::ffff:808:808", "64:ff9b::8.8.8.8"]


@given(st.ip_addresses())
def test_nothing_is_public_that_python_knows_for_private(address):
    if is_public(address) and not (address.version == 6 and address not in ipaddress.ip_network("2000::/3")):
        assert address.is_global
        assert not address.is_multicast


def test_networks_are_read_strictly():
    assert [str(one) for one in networks(["10.0.0.0/8", "::1"])] == ["10.0.0.0/8", "::1/128"]
    with pytest.raises(ValueError, match="host bits"):
        networks(["10.0.0.1/8"])
