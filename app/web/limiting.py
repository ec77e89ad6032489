"""Rate limits in process: requests per account, requests per key, failed authentications per address.

The counting strategy is the ``limits`` library's fixed window; the storage is our own because the library's
in-memory one starts a thread for every hit and walks all its keys in it.
"""

from __future__ import annotations

import ipaddress
import math
import time
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from app.web.errors import RateLimited

_KEYS_MAX = 100_000
_IPV6_NETWORK_BITS = 64


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """The rate-limit fields of one answer."""

    policy: str
    state: str

    def raw(self) -> list[tuple[bytes, bytes]]:
        """Return them as ASGI headers."""
        return [(b"ratelimit-policy", self.policy.encode()), (b"ratelimit", self.state.encode())]


class Limiter:
    """Counts by the minute. One per process: the limits are per process too."""

    def __init__(
        self,
        *,
        per_key: int = 600,
        per_account: int = 1200,
        failures_per_address: int = 60,
        sign_ins_per_address: int = 60,
    ) -> None:
        self._storage = Counters()
        self._strategy = FixedWindowRateLimiter(self._storage)
        self._per_key = _PerMinute(per_key)
        self._per_account = _PerMinute(per_account)
        self._failures = _PerMinute(failures_per_address)
        self._sign_ins = _PerMinute(sign_ins_per_address)

    def admit(self, *, account_id: str, key_id: str) -> RateHeaders:
        """Count one request of a key and of its account.

        Raises:
            RateLimited: one of the two is over its limit; its headers say which and for how long.
        """
        key_passes = self._strategy.hit(self._per_key, "key", key_id)
        if not self._strategy.hit(self._per_account, "account", account_id):
            raise self._refusal("account", self._per_account, account_id)
        if not key_passes:
            raise self._refusal("key", self._per_key, key_id)
        return self._headers("key", self._per_key, key_id)

    def check_address(self, address: str | None) -> None:
        """Pass unless an address has failed to authenticate too often.

        Raises:
            RateLimited: it has; nothing is looked up for it until the minute is over.
        """
        if not self._strategy.test(self._failures, "failures", network(address)):
            raise self._refusal("failures", self._failures, network(address))

    def admit_sign_in(self, address: str | None) -> None:
        """Count one sign-in that an address begins: each is a row until it ends.

        Raises:
            RateLimited: it has begun too many.
        """
        if not self._strategy.hit(self._sign_ins, "sign_ins", network(address)):
            raise self._refusal("sign_ins", self._sign_ins, network(address))

    def count_failure(self, address: str | None) -> None:
        """Count one failed authentication of an address (of a network of 64 bits for IPv6)."""
        self._strategy.hit(self._failures, "failures", network(address))

    def _headers(self, name: str, item: RateLimitItem, identifier: str) -> RateHeaders:
        reset, remaining = self._strategy.get_window_stats(item, name, identifier)
        seconds = max(1, math.ceil(reset - time.monotonic()))
        return RateHeaders(
            policy=f'"{name}";q={item.amount};w={item.get_expiry()}',
            state=f'"{name}";r={max(0, remaining)};t={seconds}',
        )

    def _refusal(self, name: str, item: RateLimitItem, identifier: str) -> RateLimited:
        headers = self._headers(name, item, identifier)
        seconds = headers.state.rpartition("=")[2]
        return RateLimited(
            f"There were more than {item.amount} requests in {item.get_expiry()} seconds.",
            headers={"Retry-After": seconds, "RateLimit-Policy": headers.policy, "RateLimit": headers.state},
        )


def network(address: str | None) -> str:
    """Return what an address is counted as: itself, or its /64 for IPv6, where one caller owns so many."""
    if address is None or ":" not in address:
        return address or "unknown"
    try:
        return str(ipaddress.ip_network((address, _IPV6_NETWORK_BITS), strict=False))
    except ValueError:
        return "unknown"


class _PerMinute(RateLimitItemPerMinute):
    """So many a minute; its key is put together without the library's escaping, since ids need none."""

    def key_for(self, *identifiers: bytes | str | float) -> str:
        """Return the counter's key."""
        return ":".join(map(str, identifiers))


class Counters(Storage):
    """Counters that end at a monotonic time; dead ones are swept when the table has grown by half."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._counters: dict[str, tuple[int, float]] = {}
        self._sweep_at = 1024

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return the error that a storage of this kind can raise."""
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count and return the new figure; a dead counter starts again."""
        now = time.monotonic()
        count, ends = self._counters.get(key, (0, 0.0))
        if ends <= now:
            count, ends = 0, now + expiry
            if len(self._counters) >= self._sweep_at:
                self._sweep(now)
        self._counters[key] = (count + amount, ends)
        return count + amount

    def get(self, key: str) -> int:
        """Return a counter's figure, 0 when it is dead or unknown."""
        count, ends = self._counters.get(key, (0, 0.0))
        return count if ends > time.monotonic() else 0

    def get_expiry(self, key: str) -> float:
        """Return the monotonic time at which a counter ends; now when there is none."""
        return self._counters.get(key, (0, time.monotonic()))[1]

    def check(self) -> bool:
        """Return that memory is healthy."""
        return True

    def reset(self) -> int:
        """Forget every counter and return how many there were."""
        count = len(self._counters)
        self._counters.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget one counter."""
        self._counters.pop(key, None)

    def _sweep(self, now: float) -> None:
        self._counters = {key: value for key, value in self._counters.items() if value[1] > now}
        if len(self._counters) >= _KEYS_MAX:
            self._counters.clear()  # a flood of names must not eat the memory; everyone starts a new minute
        self._sweep_at = max(1024, len(self._counters) * 3 // 2)
