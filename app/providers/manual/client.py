"""The desk's HTTP: the five calls by which a cloud without a price API rents machines out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import quote

import httpx

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
from app.providers.reading import T, items, mapping, maybe, text
from app.providers.retry_after import retry_after_seconds
from app.providers.wire import Call, Dialect, Reply, Wire, WireOptions

_ERRORS: Mapping[str, type[ProviderError]] = MappingProxyType(
    {
        "no_capacity": NoCapacity,
        "unknown_offer": NoCapacity,
        "wrong_order": Rejected,
        "no_credit": QuotaExceeded,
        "unauthorized": Unauthorized,
        "unknown_machine": Gone,
        "busy": NotYet,
    }
)


class DeskClient:
    """The desk's calls, each a method. ``shape`` and ``row`` read a value or an item, or raise ``Malformed``."""

    def __init__(self, *, base_url: str, token: str, client: httpx.AsyncClient | None, options: WireOptions) -> None:
        dialect = Dialect("manual", refusal, {})
        self._wire = Wire(dialect, base_url=base_url, api_key=token, client=client, options=options)

    async def stock(self, shape: Callable[[object], T]) -> T:
        """Return how many of each offer are free."""
        call = Call("list_offers", "GET", "/stock", ())
        return await self._wire.read(call, lambda body: shape(mapping(body).get("stock")))

    async def rent(self, body: Mapping[str, object], shape: Callable[[object], T]) -> T:
        """Rent a machine. The desk answers with the same machine when the marker is known."""
        call = Call("create", "POST", "/machines", (), changes=True, body=body)
        return await self._wire.change(call, lambda answer: shape(mapping(answer).get("machine")))

    async def machines(self, operation: str, marker_prefix: str, row: Callable[[object], T | None]) -> list[T]:
        """Return the machines whose marker begins so, without those of which ``row`` makes None."""
        call = Call(operation, "GET", "/machines", (), query={"marker_prefix": marker_prefix})
        return await self._wire.read(
            call,
            lambda body: [one for value in items(mapping(body).get("machines")) if (one := row(value)) is not None],
        )

    async def machine(self, machine_id: str, shape: Callable[[object], T]) -> T:
        """Return one machine."""
        call = Call("get_machine", "GET", f"/machines/{quote(machine_id, safe='')}", ())
        return await self._wire.read(call, lambda body: shape(mapping(body).get("machine")))

    async def give_back(self, machine_id: str) -> None:
        """Ask for a machine's end; the desk wipes it."""
        path = f"/machines/{quote(machine_id, safe='')}"
        await self._wire.change(Call("destroy", "DELETE", path, (), changes=True), mapping)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()


def refusal(call: Call, reply: Reply) -> ProviderError | None:
    """Return what an answer refuses, by its code; None leaves it to the status alone."""
    if reply.status in range(200, 300) or reply.status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return None
    body = reply.body if isinstance(reply.body, dict) else {}
    error = maybe(mapping, body.get("error")) or {}
    code = maybe(text, error.get("code")) or ""
    words = f"{code} {maybe(text, error.get('message')) or ''}".strip() or f"status {reply.status}"
    if reply.status == httpx.codes.TOO_MANY_REQUESTS:
        return RateLimited(words, retry_after_seconds=retry_after_seconds(reply.headers.get("Retry-After")))
    known = _ERRORS.get(code)
    if known is Gone and call.operation == "create":
        return Rejected(words)
    return None if known is None else known(words)
