from __future__ import annotations

import threading
import time

import pytest

from app.web.errors import RateLimited
from app.web.limiting import Counters, Limiter, network


def test_a_key_over_its_limit_is_told_when_to_come_back():
    limiter = Limiter(per_key=2)
    limiter.admit(account_id="a", key_id="k")
    second = limiter.admit(account_id="a", key_id="k")
    assert (second.policy, second.state.split(";")[1]) == ('"key";q=2;w=60', "r=0")
    with pytest.raises(RateLimited) as refused:
        limiter.admit(account_id="a", key_id="k")
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 60
    limiter.admit(account_id="a", key_id="other")


def test_many_keys_do_not_lift_the_limit_of_their_account():
    limiter = Limiter(per_key=2, per_account=3)
    for number in range(3):
        limiter.admit(account_id="a", key_id=f"k{number}")
    with pytest.raises(RateLimited) as refused:
        limiter.admit(account_id="a", key_id="k9")
    assert refused.value.headers["RateLimit-Policy"].startswith('"account"')
    limiter.admit(account_id="b", key_id="l")


def test_an_address_that_failed_too_often_is_refused_and_others_are_not():
    limiter = Limiter(failures_per_address=2)
    for _ in range(2):
        limiter.check_address("2001:db8::1")
        limiter.count_failure("2001:db8::1")
    with pytest.raises(RateLimited):
        limiter.check_address("2001:db8::ffff")
    limiter.check_address("2001:db8:0:1::1")
    limiter.check_address("192.0.2.1")
    limiter.check_address(None)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a:b", "unknown"),
        (None, "unknown"),
    ],
)
def test_an_address_of_ipv6_counts_as_its_network(address, counted):
    assert network(address) == counted


def test_counters_end_and_the_dead_are_swept():
    counters = Counters()
    counters.incr("short", 0.001)
    time.sleep(0.002)
    assert counters.get("short") == 0
    assert counters.incr("short", 60, amount=2) == 2
    for number in range(3000):
        counters.incr(f"k{number}", 0.0)
    assert len(counters._counters) < 2000
    assert counters.get("short") == 2


def test_counting_starts_no_thread():
    before = threading.active_count()
    limiter = Limiter()
    for number in range(100):
        limiter.admit(account_id="a", key_id=str(number))
    assert threading.active_count() == before
