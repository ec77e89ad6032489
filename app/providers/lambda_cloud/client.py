"""Lambda's HTTP, as it is: everything under ``data``, errors by code."""

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

PACE: Mapping[str, float] = MappingProxyType({"account": 1.0, "launch": 12.0})

_ERRORS: Mapping[str, type[ProviderError]] = MappingProxyType(
    {
        "global/invalid-api-key": Unauthorized,
        "global/account-inactive": QuotaExceeded,
        "global/invalid-address": QuotaExceeded,
        "global/quota-exceeded": QuotaExceeded,
        "global/invalid-parameters": Rejected,
        "global/duplicate": Rejected,
        "global/object-does-not-exist": Gone,
        "instance-operations/launch/insufficient-capacity": NoCapacity,
        "instance-operations/launch/file-system-in-wrong-region": Rejected,
        "ssh-keys/key-in-use": NotYet,
    }
)


class LambdaClient:
    """Lambda's endpoints, each a method. ``shape`` and ``row`` read a value or an item, or raise ``Malformed``."""

    def __init__(self, *, base_url: str, api_key: str, client: httpx.AsyncClient | None, options: WireOptions) -> None:
        dialect = Dialect("lambda", refusal, PACE)
        self._wire = Wire(dialect, base_url=base_url, api_key=api_key, client=client, options=options)

    async def instance_types(self, shape: Callable[[dict[str, object]], T]) -> T:
        """Return the types with the regions that have some, as ``shape`` makes them of name → type."""
        call = Call("list_offers", "GET", "/api/v1/instance-types", ("account",))
        return await self._wire.read(call, lambda body: shape(mapping(_data(body))))

    async def launch(self, body: Mapping[str, object], shape: Callable[[object], T]) -> T:
        """Launch an instance."""
        path = "/api/v1/instance-operations/launch"
        call = Call("create", "POST", path, ("account", "launch"), changes=True, body=body)
        return await self._wire.change(call, lambda answer: shape(_data(answer)))

    async def instances(self, operation: str, row: Callable[[object], T | None]) -> list[T]:
        """Return all instances, without those of which ``row`` makes None."""
        call = Call(operation, "GET", "/api/v1/instances", ("account",))
        return await self._wire.read(call, lambda body: _rows(body, row))

    async def instance(self, machine_id: str, shape: Callable[[object], T]) -> T:
        """Return one instance."""
        call = Call("get_machine", "GET", f"/api/v1/instances/{quote(machine_id, safe='')}", ("account",))
        return await self._wire.read(call, lambda body: shape(_data(body)))

    async def terminate(self, machine_id: str) -> None:
        """Terminate an instance."""
        path, body = "/api/v1/instance-operations/terminate", {"instance_ids": [machine_id]}
        call = Call("destroy", "POST", path, ("account",), changes=True, body=body)
        await self._wire.change(call, lambda answer: items(mapping(_data(answer)).get("terminated_instances")))

    async def keys(self, row: Callable[[object], T | None]) -> list[T]:
        """Return the account's SSH keys, without those of which ``row`` makes None."""
        call = Call("ensure_ssh_key", "GET", "/api/v1/ssh-keys", ("account",))
        return await self._wire.read(call, lambda body: _rows(body, row))

    async def add_key(self, name: str, public_key: str, shape: Callable[[object], T]) -> T:
        """Add an SSH key to the account."""
        body = {"name": name, "public_key": public_key}
        call = Call("ensure_ssh_key", "POST", "/api/v1/ssh-keys", ("account",), changes=True, body=body)
        return await self._wire.change(call, lambda answer: shape(_data(answer)))

    async def delete_key(self, key_id: str) -> None:
        """Remove an SSH key from the account."""
        path = f"/api/v1/ssh-keys/{quote(key_id, safe='')}"
        await self._wire.change(Call("remove_ssh_key", "DELETE", path, ("account",), changes=True), lambda _: None)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()


def refusal(call: Call, reply: Reply) -> ProviderError | None:
    """Return what an answer refuses, by its code; None leaves it to the status alone."""
    if reply.status in range(200, 300):
        return None
    body = reply.body if isinstance(reply.body, dict) else {}
    error = maybe(mapping, body.get("error")) or {}
    code = maybe(text, error.get("code")) or ""
    words = f"{code} {maybe(text, error.get('message')) or ''}".strip() or f"status {reply.status}"
    if reply.status == httpx.codes.TOO_MANY_REQUESTS:
        return RateLimited(words, retry_after_seconds=retry_after_seconds(reply.headers.get("Retry-After")))
    if reply.status >= httpx.codes.INTERNAL_SERVER_ERROR:
        doubt = call.doubt(words)
        doubt.retry_after_seconds = retry_after_seconds(reply.headers.get("Retry-After"))
        return doubt
    known = _ERRORS.get(code)
    return None if known is None else known(words)


def _data(body: object) -> object:
    return mapping(body).get("data")


def _rows(body: object, row: Callable[[object], T | None]) -> list[T]:
    return [found for value in items(_data(body)) if (found := row(value)) is not None]
