"""Vast.ai's HTTP, as it is: paths with their trailing slashes, paging, and what its errors mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Generic
from urllib.parse import quote

import httpx

from app.providers.errors import (
    Gone,
    NoCapacity,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Unauthorized,
)
from app.providers.reading import Malformed, T, items, mapping, maybe, name, text, whole
from app.providers.retry_after import retry_after_seconds
from app.providers.wire import Call, Dialect, Reply, Wire, WireOptions

PACE: Mapping[str, float] = MappingProxyType(
    {
        "search": 6.0,
        "create": 4.5,
        "show": 2.0,
        "list": 2.0,
        "manage": 1.0,
        "destroy": 3.0,
        "keys": 1.0,
        "charges": 1.0,
    }
)
PAGE_LIMIT = 25
"""The most machines that one page may have."""
CHARGES_LIMIT = 500
_PAGES_MAX = 1000
_CREATE_PENALTY_SECONDS = 12.0

_QUOTA_ERRORS = frozenset({"missing_billing", "insufficient_credit"})
_STATUS_SAYS_MORE = frozenset({401, 403, 408, 409, 423, 425})
_QUOTA_WORDS = ("insufficient credit", "insufficient balance", "missing_billing", "lacks credit")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list."""

    rows: list[T]
    next_token: str | None


class VastClient:
    """Vast.ai's endpoints, each a method. ``shape`` and ``row`` read a value or a list's item, or raise ``Malformed``."""

    def __init__(self, *, base_url: str, api_key: str, client: httpx.AsyncClient | None, options: WireOptions) -> None:
        dialect = Dialect("vast", refusal, PACE)
        self._wire = Wire(dialect, base_url=base_url, api_key=api_key, client=client, options=options)

    async def search(self, query: Mapping[str, object], shape: Callable[[list[object]], T]) -> T:
        """Return the offers that match, as ``shape`` makes them of the list."""
        call = Call("list_offers", "POST", "/api/v0/bundles/", ("search",), body=query)
        return await self._wire.read(call, lambda body: shape(items(mapping(body).get("offers"))))

    async def accept(self, offer_id: str, body: Mapping[str, object]) -> str:
        """Rent an offer and return the instance's id."""
        path = f"/api/v0/asks/{quote(offer_id, safe='')}/"
        call = Call("create", "PUT", path, ("create",), changes=True, body=body)
        return await self._wire.change(call, lambda answer: str(whole(mapping(answer).get("new_contract"), low=1)))

    async def show(self, machine_id: str, shape: Callable[[object], T]) -> T | None:
        """Return one instance, None where there is none."""
        path = f"/api/v0/instances/{quote(machine_id, safe='')}/"
        call = Call("get_machine", "GET", path, ("show",), query={"owner": "me"})
        return await self._wire.read(call, lambda body: _instance(body, shape))

    async def list_instances(
        self, operation: str, filters: Mapping[str, object], row: Callable[[object], T | None]
    ) -> list[T]:
        """Return all instances that match, from all pages, without those of which ``row`` makes None."""
        query = {
            "select_filters": json.dumps(filters),
            "order_by": json.dumps([{"col": "id", "dir": "asc"}]),
            "limit": str(PAGE_LIMIT),
        }
        call = Call(operation, "GET", "/api/v1/instances/", ("list",), query=query)
        return await self._pages(call, "instances", row)

    async def set_state(self, operation: str, machine_id: str, state: str) -> None:
        """Change the wanted state of an instance."""
        path = f"/api/v0/instances/{quote(machine_id, safe='')}/"
        call = Call(operation, "PUT", path, ("manage",), changes=True, body={"state": state})
        await self._wire.change(call, mapping)

    async def destroy(self, machine_id: str) -> None:
        """Destroy an instance."""
        path = f"/api/v0/instances/{quote(machine_id, safe='')}/"
        await self._wire.change(Call("destroy", "DELETE", path, ("destroy",), changes=True, body={}), mapping)

    async def keys(self, row: Callable[[object], T | None]) -> list[T]:
        """Return the account's SSH keys."""
        call = Call("ensure_ssh_key", "GET", "/api/v0/ssh/", ("keys",))
        return await self._wire.read(call, lambda body: _rows(body, row))

    async def add_key(self, public_key: str) -> str:
        """Add an SSH key to the account, which puts it on every new instance; return its id."""
        body = {"ssh_key": public_key}
        call = Call("ensure_ssh_key", "POST", "/api/v0/ssh/", ("keys",), changes=True, body=body)
        return await self._wire.change(
            call, lambda answer: str(whole(mapping(mapping(answer).get("key")).get("id"), low=1))
        )

    async def delete_key(self, key_id: str) -> None:
        """Remove an SSH key from the account."""
        path = f"/api/v0/ssh/{quote(key_id, safe='')}/"
        await self._wire.change(Call("remove_ssh_key", "DELETE", path, ("keys",), changes=True), mapping)

    async def charges(
        self, operation: str, row: Callable[[object], T | None], *, first_second: int, last_second: int
    ) -> list[T]:
        """Return the instance charges of the days between two moments, from all pages."""
        filters = {"day": {"gte": first_second, "lte": last_second}, "type": {"in": ["instance"]}}
        query = {"select_filters": json.dumps(filters), "format": "table", "limit": str(CHARGES_LIMIT)}
        call = Call(operation, "GET", "/api/v0/charges/", ("charges",), query=query)
        return await self._pages(call, "results", row)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()

    async def _pages(self, call: Call, key: str, row: Callable[[object], T | None]) -> list[T]:
        rows: list[T] = []
        seen: set[str] = set()
        while True:
            page = await self._wire.read(call, lambda body: _page(body, key, row))
            rows += page.rows
            if page.next_token is None:
                return rows
            if page.next_token in seen or len(seen) >= _PAGES_MAX:
                raise call.doubt("the list's pages do not end")
            seen.add(page.next_token)
            call = replace(call, query={**call.query, "after_token": page.next_token})


def refusal(call: Call, reply: Reply) -> ProviderError | None:
    """Return what an answer refuses, by the words in its body; None leaves it to the status alone.

    A refused create may have made an instance all the same: then its id is in the answer, and goes with the error.
    """
    body = reply.body if isinstance(reply.body, dict) else {}
    if reply.status in range(200, 300) and body.get("success") is not False:
        return None
    made = maybe(lambda value: str(whole(value, low=1)), body.get("new_contract"))
    code, words = maybe(text, body.get("error")) or "", _words(reply, body)
    if reply.status == httpx.codes.TOO_MANY_REQUESTS:
        return _too_fast(call, reply, words, made)
    if reply.status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return call.doubt(f"status {reply.status} {words}", machine_id=made) if made else None
    error = _class_of(call, reply.status, code=code, words=words)
    if error is None:
        return call.doubt(words, machine_id=made) if made or reply.status in range(200, 300) else None
    return error(words, machine_id=made)


def _class_of(call: Call, status: int, *, code: str, words: str) -> type[ProviderError] | None:
    """Classify a refusal by its code and words."""
    unknown_key = call.operation == "remove_ssh_key" and status == httpx.codes.NOT_FOUND
    sold = call.operation == "create" and status == httpx.codes.GONE
    outbid = code == "invalid_price" and isinstance(call.body, dict) and call.body.get("price") is not None
    meanings: tuple[tuple[bool, type[ProviderError]], ...] = (
        (code == "auth_error", Unauthorized),
        (unknown_key or "no_such_instance" in words, Gone),
        (sold or "no_such_ask" in words, NoCapacity),
        (code in _QUOTA_ERRORS or any(phrase in words.lower() for phrase in _QUOTA_WORDS), QuotaExceeded),
        (outbid, NoCapacity),  # the floor rose above our bid since the offer was listed
        (bool(code) and status not in _STATUS_SAYS_MORE, Rejected),
    )
    return next((meaning for applies, meaning in meanings if applies), None)


def _too_fast(call: Call, reply: Reply, words: str, made: str | None) -> ProviderError:
    """Read a 429: mostly plain text. Vast.ai punishes a create that came too early with a longer wait."""
    seconds = retry_after_seconds(reply.headers.get("Retry-After"))
    if seconds is None and call.operation == "create":
        seconds = _CREATE_PENALTY_SECONDS
    if seconds is None and "search_quota_exceeded" in words:
        seconds = 60.0
    return RateLimited(words, retry_after_seconds=seconds, machine_id=made)


def _words(reply: Reply, body: Mapping[str, object]) -> str:
    """Return the cloud's own words, whichever of its forms they come in."""
    said = [words for key in ("error", "msg", "detail", "message") if (words := maybe(text, body.get(key)))]
    if not said and not reply.readable and "<" not in reply.text:
        said = [text(reply.text)]
    return " ".join(said) or f"status {reply.status}"


def _instance(body: object, shape: Callable[[object], T]) -> T | None:
    """Read ``{"instances": {…}}``: one object under a plural key, null where there is none."""
    answer = mapping(body)
    if "instances" not in answer:
        raise Malformed("no instance is told of")
    return None if answer["instances"] is None else shape(answer["instances"])


def _page(body: object, key: str, row: Callable[[object], T | None]) -> Page[T]:
    answer = mapping(body)
    token = answer.get("next_token")
    return Page(_rows(answer.get(key), row), None if token in (None, "") else name(token, longest=4096))


def _rows(values: object, row: Callable[[object], T | None]) -> list[T]:
    return [found for value in items(values) if (found := row(value)) is not None]
