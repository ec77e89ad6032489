from __future__ import annotations

import pytest

from app.web.browsing import Site
from app.web.errors import CsrfFailed

SITE = Site.at("https://gpus.example")


def scope(method="POST", **headers):
    return {
        "type": "http",
        "method": method,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://gpus.example", "https://gpus.example"),
        ("https://GPUS.example:443/", "https://gpus.example"),
        ("https://gpus.example:8443/under", "https://gpus.example:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(url, origin):
    assert Site.at(url).origin == origin


def test_over_https_no_other_host_can_plant_the_cookie_and_no_script_can_read_it():
    cookie = SITE.cookie("hourglass", "value", seconds=60)
    name, *terms = cookie.split("; ")
    assert name == "__Host-hourglass=value"
    assert set(terms) == {"Path=/", "Max-Age=60", "Secure", "HttpOnly", "SameSite=Lax"}


def test_over_http_the_cookie_has_its_plain_name_and_asks_for_no_https():
    cookie = Site.at("http://127.0.0.1:8000").cookie("hourglass", "value", seconds=0)
    assert cookie == "hourglass=value; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("__Host-hourglass=a", "a"),
        ("other=b; __Host-hourglass=a;x=y", "a"),
        ("hourglass=a", None),
        ("__Host-hourglass=a; __Host-hourglass=b", None),
        ("__Host-hourglass=a; __Host-hourglass=a", None),
        ("x__Host-hourglass=a", None),
        ("__host-hourglass=a", None),
        ("", None),
    ],
)
def test_a_cookie_counts_once_and_under_its_full_name(header, value):
    assert SITE.find_cookie(scope(cookie=header), "hourglass") == value


OWN = "https://gpus.example"


@pytest.mark.parametrize(
    "headers",
    [
        {"x_csrf_token": "token", "origin": OWN},
        {"x_csrf_token": "token", "sec_fetch_site": "same-origin"},
        {"x_csrf_token": "token", "origin": OWN, "sec_fetch_site": "same-origin"},
    ],
)
def test_a_page_of_ours_may_change_something(headers):
    SITE.check_sender(scope(**headers), token="token")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x_csrf_token": "token"},
        {"origin": OWN, "sec_fetch_site": "same-origin"},
        {"x_csrf_token": "other", "origin": OWN},
        {"x_csrf_token": "", "origin": OWN},
        {"x_csrf_token": "token", "origin": "null"},
        {"x_csrf_token": "token", "origin": "http://gpus.example"},
        {"x_csrf_token": "token", "origin": "https://gpus.example.evil.example"},
        {"x_csrf_token": "token", "origin": "https://evil.example", "sec_fetch_site": "same-origin"},
        {"x_csrf_token": "token", "origin": OWN, "sec_fetch_site": "cross-site"},
        {"x_csrf_token": "token", "sec_fetch_site": "same-site"},
        {"x_csrf_token": "token", "sec_fetch_site": "none"},
        {"x_csrf_token": "token", "referer": OWN},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_no_other_page_may(method, headers):
    with pytest.raises(CsrfFailed):
        SITE.check_sender(scope(method, **headers), token="token")


def test_two_tokens_are_none():
    doubled = scope(origin=OWN)
    doubled["headers"] += [(b"x-csrf-token", b"token"), (b"x-csrf-token", b"token")]
    with pytest.raises(CsrfFailed):
        SITE.check_sender(doubled, token="token")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_needs_no_token(method):
    SITE.check_sender(scope(method), token="token")
