from __future__ import annotations

import ipaddress

import pytest

from app.kit.destinations import RefusedDestination, Rules
from app.kit.public_addresses import networks
from tests.kit.test_public_addresses import NOT_PUBLIC, tunnelled

INSIDE = ["127.0.0.1", "169.254.169.254", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "0.0.0.0"]


def spelled(four: str) -> list[str]:
    """Ways to write an IPv4 address that some resolver or other takes."""
    a, b, c, d = (int(part) for part in four.split("."))
    whole = int(ipaddress.IPv4Address(four))
    return [
        four,
        f"{four}.",
        str(whole),
        hex(whole),
        hex(whole).upper(),
        f"0{whole:o}",
        f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"{a:03d}.{b:03d}.{c:03d}.{d:03d}",
        f"{a}.{whole & 0xFFFFFF}",
        f"{a}.{b}.{whole & 0xFFFF}",
        f"{a:#x}.{whole & 0xFFFFFF}",
        f"0{a:o}.{b}.{c}.{d:#x}",
        f"{a}.{b}.{c}.{d + 256}",
        f"{a + 256}.{b}.{c}.{d}",
        f"{a}.{b}.{c}.0x",
        *(f"[{text}]" for text in tunnelled(four)),
        f"[{four}]",
        f"\N{CIRCLED DIGIT ONE}{four}",
        four.translate(str.maketrans("0123456789", "".join(chr(0xFF10 + n) for n in range(10)))),
        four.replace(".", "\N{IDEOGRAPHIC FULL STOP}"),
        four.replace(".", "%2e"),
        f"user@{four}",
        f"hooks.example.com@{four}",
        f"hooks.example.com:80@{four}",
        f"{four}\\@hooks.example.com",
        f"{four}#@hooks.example.com",
        f"hooks.example.com\\.{four}",
        f" {four}",
        f"{four}\t",
        f"{four}\n",
        f"{four}\x00.example.com",
    ]


FORMS = [form for four in INSIDE for form in spelled(four)]
HOSTS = [
    "localhost", "localhost.", "LOCALHOST", "metadata", "intranet", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[fe80::1%25eth0]",
    "[fe80::1%eth0]", "[fd00:ec2::254]", "[::ffff:7f00:1]", "[v1.fe80::1]", "[", "[]", "[::1", "::1", "", ".", "..", "a..b",
    "-a.example.com", "a-.example.com", "hooks_.example.com", "hooks.example.com.", "exämple.com", "例え.jp", "a" * 64 + ".com",
    "a." * 127 + "com", "hooks.example.123", "hooks.example.0x7f", "1.1.1.1.1", "08.8.8.8",
]  # fmt: skip
URLS = [
    "http://hooks.example.com/", "HTTP://hooks.example.com/", "ftp://hooks.example.com/", "file:///etc/passwd", "gopher://a.b/",
    "https:hooks.example.com", "https:/hooks.example.com", "https:///hooks.example.com", "//hooks.example.com/", "hooks.example.com",
    "https://hooks.example.com:0/", "https://hooks.example.com:22/", "https://hooks.example.com:25/", "https://hooks.example.com:80/",
    "https://hooks.example.com:1023/", "https://hooks.example.com:65536/", "https://hooks.example.com:99999/",
    "https://hooks.example.com:/", "https://hooks.example.com:4e3/", "https://hooks.example.com:-1/", "https://hooks.example.com:443:443/",
    "https://hooks.example.com/a b", "https://hooks.example.com/\r\nX: y", "https://hooks.example.com/#top", "https://hooks.example.com#top",
    "https://hooks.example.com/é", "https://hooks.example.com\\a", "https://hooks.example.com/<>", "https://hooks.example.com/\x00",
    "https://user@hooks.example.com/", "https://user:secret@hooks.example.com/", "https://hooks.example.com/" + "a" * 2048, "", " ",
    "javascript:alert(1)", "https://hooks.example.com/{}", "https://hooks.example.com/\u202e", "data:,x", "https://",
]  # fmt: skip


def test_there_are_more_than_two_hundred_forms():
    assert len({*FORMS, *HOSTS, *URLS}) > 200


@pytest.mark.parametrize("form", [*FORMS, *HOSTS])
def test_a_host_that_is_no_public_one_is_refused_however_it_is_written(form):
    for url in (f"https://{form}/", f"https://{form}:8443/x?y=z", f"https://{form}"):
        with pytest.raises(RefusedDestination):
            Rules().read(url)


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused(text):
    with pytest.raises(RefusedDestination):
        Rules().read(f"https://[{text}]/" if ":" in text else f"https://{text}/")


@pytest.mark.parametrize("url", URLS)
def test_what_is_no_plain_https_url_is_refused(url):
    with pytest.raises(RefusedDestination):
        Rules().read(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://hooks.example.com", ("hooks.example.com", 443, "/", "hooks.example.com")),
        ("HTTPS://Hooks.Example.COM/A?b=%20c", ("hooks.example.com", 443, "/A?b=%20c", "hooks.example.com")),
        ("https://hooks.example.com:443/", ("hooks.example.com", 443, "/", "hooks.example.com")),
        ("https://hooks.example.com:8443?x", ("hooks.example.com", 8443, "/?x", "hooks.example.com:8443")),
        ("https://xn--bcher-kva.example/a", ("xn--bcher-kva.example", 443, "/a", "xn--bcher-kva.example")),
        ("https://8.8.8.8/", ("8.8.8.8", 443, "/", "8.8.8.8")),
        ("https://[2606:4700:0::1111]:1024/", ("2606:4700::1111", 1024, "/", "[2606:4700::1111]:1024")),
        ("https://1.example.com/", ("1.example.com", 443, "/", "1.example.com")),
    ],
)
def test_what_may_be_connected_to_is_read_one_way(url, told):
    found = Rules().read(url)
    assert (found.host, found.port, found.target, found.authority) == told


def test_networks_can_be_allowed_and_refused_on_purpose():
    rules = Rules(networks(["10.1.0.0/16", "fd00::/64"]), networks(["8.8.8.0/24", "10.1.9.0/24"]))
    for host in ("10.1.2.3", "[::ffff:10.1.2.3]", "[fd00::1]", "1.1.1.1"):
        assert rules.read(f"https://{host}/").port == 443
    for host in (
        "10.2.0.1",
        "10.1.9.1",
        "8.8.8.8",
        "[::ffff:8.8.8.8]",
        "[64:ff9b::8.8.8.8]",
        "[fd00:0:0:1::1]",
        "127.0.0.1",
    ):
        with pytest.raises(RefusedDestination):
            rules.read(f"https://{host}/")
