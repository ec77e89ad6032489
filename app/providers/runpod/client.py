"""RunPod's HTTP (REST v2), as it is: strict bodies, problem documents, quotas per minute, hour and day."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from urllib.parse import quote

import httpx

from app.kit.clock import rfc3339
from app.providers.errors import (
    Gone,
    NoCapacity,
    NotYet,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Unauthorized,
)
from app.providers.reading import Malformed, T, items, mapping, maybe, text, whole
from app.providers.retry_after import RETRY_AFTER_MAX_SECONDS, retry_after_seconds
from app.providers.wire import Call, Dialect, Reply, Wire, WireOptions

PACE: Mapping[str, float] = MappingProxyType({"catalog": 7.5, "looks": 4.0, "changes": 4.0, "books": 30.0})
BURSTS: Mapping[str, int] = MappingProxyType({"catalog": 8, "looks": 3, "changes": 7, "books": 2})
"""The account has 60 calls a minute and 3,000 an hour over all. Shared out, so that neither a read of the whole catalog
nor somebody who looks at many pods ever keeps a create or an end waiting."""

_CAPACITY_WORDS = (
    "no longer any instances",
    "no instances available",
    "no instances currently available",
    "not enough free gpus",
    "no gpu available",
    "no available gpu",
    "out of capacity",
    "insufficient capacity",
)
_MONEY_WORDS = ("balance", "insufficient funds", "spend limit", "spending limit", "add credits", "payment")
_MEANINGS: Mapping[int, type[ProviderError]] = MappingProxyType(
    {
        401: Unauthorized,
        402: QuotaExceeded,
        403: Unauthorized,
        404: Gone,
        409: NotYet,
        422: Rejected,
    }
)
_PLACES = frozenset({"create", "resume"})
"""The operations that look for a free GPU."""
_SPENT = re.compile(r"r=0;\s*t=([0-9]{1,6})", re.ASCII)


class RunpodClient:
    """RunPod's endpoints, each a method. ``shape`` and ``row`` read a value or an item, or raise ``Malformed``."""

    def __init__(self, *, base_url: str, api_key: str, client: httpx.AsyncClient | None, options: WireOptions) -> None:
        dialect = Dialect("runpod", refusal, PACE, bursts=BURSTS)
        self._wire = Wire(dialect, base_url=base_url, api_key=api_key, client=client, options=options)

    async def gpus(self, *, cloud: str, count: int, min_cuda: str, shape: Callable[[list[object]], T]) -> T:
        """Return the GPU types with what one of the two clouds has for pods of so many, as ``shape`` makes them."""
        query = {
            "include": "AVAILABILITY",
            "product": "POD",
            "cloud": cloud,
            "count": str(count),
            "minCudaVersion": min_cuda,
        }
        call = Call("list_offers", "GET", "/v2/catalog/gpus", ("catalog",), query=query)
        return await self._wire.read(call, lambda body: shape(items(mapping(body).get("gpus"))))

    async def create(self, body: Mapping[str, object], shape: Callable[[object], T]) -> T:
        """Create a pod."""
        call = Call("create", "POST", "/v2/pods", ("changes",), changes=True, body=body)
        return await self._wire.change(call, shape)

    async def pods(self, operation: str, row: Callable[[object], T | None]) -> list[T]:
        """Return all pods that belong to no cluster, without those of which ``row`` makes None. There are no pages."""
        call = Call(operation, "GET", "/v2/pods", ("looks",))
        return await self._wire.read(call, lambda body: _rows(mapping(body).get("pods"), row))

    async def pod(self, machine_id: str, shape: Callable[[object], T]) -> T:
        """Return one pod."""
        return await self._wire.read(Call("get_machine", "GET", _path(machine_id), ("looks",)), shape)

    async def act(self, operation: str, machine_id: str, action: str, shape: Callable[[object], T]) -> T:
        """Start or stop a pod."""
        path, body = f"{_path(machine_id)}/action", {"action": action}
        return await self._wire.change(Call(operation, "POST", path, ("changes",), changes=True, body=body), shape)

    async def delete(self, machine_id: str) -> None:
        """Terminate a pod."""
        await self._wire.change(
            Call("destroy", "DELETE", _path(machine_id), ("changes",), changes=True), lambda _: None
        )

    async def billing(
        self,
        operation: str,
        *,
        start: datetime,
        end: datetime,
        bucket: str,
        pod_id: str | None,
        row: Callable[[object], T],
    ) -> list[T]:
        """Return what was booked for one pod, or for each, in the buckets that a period touches."""
        query = {"startTime": rfc3339(start), "endTime": rfc3339(end), "bucketSize": bucket}
        query |= {} if pod_id is None else {"podId": pod_id}
        call = Call(operation, "GET", "/v2/billing/pods", ("books",), query=query)
        return await self._wire.read(call, lambda body: _records(body, row))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()


def refusal(call: Call, reply: Reply) -> ProviderError | None:
    """Return what an answer refuses; None leaves it to the status alone.

    A 400 is a broken rule, a lack of GPUs or a lack of money: only its words tell.
    """
    if reply.status in range(200, 300) or reply.status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return None
    words = _words(reply)
    if reply.status == httpx.codes.TOO_MANY_REQUESTS:
        return RateLimited(words, retry_after_seconds=_wait(reply.headers))
    error = _class_of(call, reply.status, words.lower())
    if error is None or (error is Gone and not _is_problem(reply)):
        return None
    return error(words)


def _class_of(call: Call, status: int, said: str) -> type[ProviderError] | None:
    """Classify a refusal by its status, and by its words where one status means several things."""
    looks = call.operation in _PLACES
    if status == httpx.codes.BAD_REQUEST:
        if looks and any(words in said for words in _CAPACITY_WORDS):
            return NoCapacity
        return QuotaExceeded if any(words in said for words in _MONEY_WORDS) else Rejected
    if status == httpx.codes.FORBIDDEN and looks and "pool" in said:
        return NoCapacity  # these GPUs are not for this account; others are
    return _MEANINGS.get(status)


def _is_problem(reply: Reply) -> bool:
    """Whether RunPod itself speaks: a gateway's page is no proof that a pod is gone."""
    return isinstance(reply.body, dict) and maybe(text, reply.body.get("detail")) is not None


def _words(reply: Reply) -> str:
    """Return the problem's own words, and which properties it is about."""
    body = reply.body if isinstance(reply.body, dict) else {}
    said = [words for key in ("detail", "title") if (words := maybe(text, body.get(key)))][:1]
    said += [words for error in maybe(items, body.get("errors")) or [] if (words := maybe(text, error))]
    return "; ".join(said) or f"status {reply.status}"


def _wait(headers: httpx.Headers) -> float | None:
    """Return how long to wait: as told, else until the longest of the used up windows is over."""
    told = retry_after_seconds(headers.get("Retry-After"))
    spent = [float(seconds) for seconds in _SPENT.findall(headers.get("RateLimit", ""))]
    return min(max(spent), RETRY_AFTER_MAX_SECONDS) if told is None and spent else told


def _path(machine_id: str) -> str:
    return f"/v2/pods/{quote(machine_id, safe='')}"


def _rows(values: object, row: Callable[[object], T | None]) -> list[T]:
    return [found for value in items(values) if (found := row(value)) is not None]


def _records(body: object, row: Callable[[object], T]) -> list[T]:
    """Read the books. They say how many records they have: fewer would be a part that passes for the whole."""
    answer = mapping(body)
    records = [row(value) for value in items(answer.get("records"))]
    counted = mapping(answer.get("metadata")).get("recordCount")
    if whole(counted) != len(records):
        raise Malformed("the books have another number of records than they say")
    return records
