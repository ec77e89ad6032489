"""Hyperstack's HTTP, as it is: an envelope with ``status`` and ``message``, pages by number, errors by text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from urllib.parse import quote

import httpx

from app.providers.errors import Gone
from app.providers.hyperstack.refusals import refusal
from app.providers.reading import T, items, mapping, maybe, whole
from app.providers.wire import Call, Dialect, Wire, WireOptions

PACE: Mapping[str, float] = MappingProxyType({"account": 60 / 500})
PAGE_SIZE = 100
_PAGES_MAX = 200
_ACCOUNT = ("account",)
_MACHINES = "/core/virtual-machines"
_HISTORY = "/billing/billing/history/virtual-machine"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    values: list[object]
    size: int
    """How many a full page has."""


class HyperstackClient:
    """Hyperstack's endpoints, each a method. ``shape`` and ``row`` read a value or an item, or raise ``Malformed``."""

    def __init__(self, *, base_url: str, api_key: str, client: httpx.AsyncClient | None, options: WireOptions) -> None:
        dialect = Dialect("hyperstack", refusal, PACE, key_header="api_key")
        self._wire = Wire(dialect, base_url=base_url, api_key=api_key, client=client, options=options)

    async def flavors(self, shape: Callable[[list[object]], T]) -> T:
        """Return the flavors, in groups by GPU and region."""
        return await self._read("list_offers", "/core/flavors", lambda body: shape(items(mapping(body).get("data"))))

    async def prices(self, shape: Callable[[list[object]], T]) -> T:
        """Return the price book: the one answer without an envelope."""
        return await self._read("list_offers", "/pricebook", lambda body: shape(items(body)))

    async def stocks(self, shape: Callable[[list[object]], T]) -> T:
        """Return what is in stock, by region and GPU."""
        return await self._read("list_offers", "/core/stocks", lambda body: shape(items(mapping(body).get("stocks"))))

    async def images(self, region: str, shape: Callable[[list[object]], T]) -> T:
        """Return a region's images, in groups by system."""
        call = Call("list_images", "GET", "/core/images", _ACCOUNT, query={"region": region})
        return await self._wire.read(call, lambda body: shape(items(mapping(body).get("images"))))

    async def environments(self, row: Callable[[object], T | None]) -> list[T]:
        """Return the environments, without those of which ``row`` makes None."""
        call = Call("ensure_environment", "GET", "/core/environments", _ACCOUNT)
        return await self._pages(call, _listed("environments"), row)

    async def add_environment(self, name: str, region: str) -> None:
        """Create an environment."""
        body = {"name": name, "region": region}
        call = Call("ensure_environment", "POST", "/core/environments", _ACCOUNT, changes=True, body=body)
        await self._wire.change(call, lambda answer: mapping(mapping(answer).get("environment")))

    async def create(self, body: Mapping[str, object], shape: Callable[[object], T]) -> T:
        """Create a machine."""
        call = Call("create", "POST", _MACHINES, _ACCOUNT, changes=True, body=body)
        return await self._wire.change(call, lambda answer: shape(mapping(answer).get("instances")))

    async def machines(self, operation: str, row: Callable[[object], T | None], *, search: str = "") -> list[T]:
        """Return all machines from all pages, without those of which ``row`` makes None."""
        call = Call(operation, "GET", _MACHINES, _ACCOUNT, query={"search": search} if search else {})
        return await self._pages(call, _listed("instances"), row)

    async def machine(self, machine_id: str, shape: Callable[[object], T]) -> T:
        """Return one machine."""
        return await self._read("get_machine", _path(machine_id), lambda body: shape(mapping(body).get("instance")))

    async def power(self, operation: str, machine_id: str, deed: str) -> None:
        """Do one of the deeds that change a machine's state. They are GETs that change: never to be repeated."""
        call = Call(operation, "GET", f"{_path(machine_id)}/{deed}", _ACCOUNT, changes=True)
        await self._wire.change(call, mapping)

    async def delete(self, machine_id: str) -> None:
        """Delete a machine."""
        await self._wire.change(Call("destroy", "DELETE", _path(machine_id), _ACCOUNT, changes=True), mapping)

    async def keys(self, operation: str, row: Callable[[object], T | None]) -> list[T]:
        """Return the SSH keys of all environments, without those of which ``row`` makes None."""
        call = Call(operation, "GET", "/core/keypairs", _ACCOUNT)
        return await self._pages(call, _listed("keypairs"), row)

    async def add_key(self, name: str, environment: str, public_key: str, shape: Callable[[object], T]) -> T:
        """Add an SSH key to an environment."""
        body = {"name": name, "environment_name": environment, "public_key": public_key}
        call = Call("ensure_ssh_key", "POST", "/core/keypairs", _ACCOUNT, changes=True, body=body)
        return await self._wire.change(call, lambda answer: shape(mapping(answer).get("keypair")))

    async def delete_key(self, key_id: str) -> None:
        """Remove an SSH key."""
        path = f"/core/keypair/{quote(key_id, safe='')}"
        await self._wire.change(Call("remove_ssh_key", "DELETE", path, _ACCOUNT, changes=True), mapping)

    async def history(
        self, operation: str, row: Callable[[object], T | None], *, start: datetime, end: datetime, search: str = ""
    ) -> list[T]:
        """Return what the books say of every machine within a period."""
        query = {**_period(start, end), **({"search": search} if search else {})}
        call = Call(operation, "GET", _HISTORY, _ACCOUNT, query=query)
        return await self._pages(call, _history_page, row, size_key="per_page")

    async def machine_history(self, machine_id: str, shape: Callable[[object], T], **period: datetime) -> T | None:
        """Return what the books say of one machine within a period (``start``, ``end``), None where they are silent."""
        path = f"{_HISTORY}/{quote(machine_id, safe='')}"
        call = Call("machine_cost", "GET", path, _ACCOUNT, query=_period(**period))
        try:
            return await self._wire.read(call, lambda body: _first(mapping(body), shape))
        except Gone:
            return None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()

    async def _read(self, operation: str, path: str, shape: Callable[[object], T]) -> T:
        return await self._wire.read(Call(operation, "GET", path, _ACCOUNT), shape)

    async def _pages(
        self,
        call: Call,
        listed: Callable[[object], Page],
        row: Callable[[object], T | None],
        *,
        size_key: str = "pageSize",
    ) -> list[T]:
        """Read page after page until one is not full, or says nothing new."""
        rows: list[T] = []
        before: list[object] = []
        for number in range(1, _PAGES_MAX + 1):
            query = {**call.query, "page": str(number), size_key: str(PAGE_SIZE)}
            page, found = await self._wire.read(
                replace(call, query=query), lambda body: (page := listed(body), _rows(page.values, row))
            )
            if page.values == before:
                return rows
            rows += found
            if len(page.values) < page.size:
                return rows
            before = page.values
        raise call.doubt("the list's pages do not end")


def _path(machine_id: str) -> str:
    return f"{_MACHINES}/{quote(machine_id, safe='')}"


def _rows(values: list[object], row: Callable[[object], T | None]) -> list[T]:
    return [found for value in values if (found := row(value)) is not None]


def _listed(key: str) -> Callable[[object], Page]:
    def page(body: object) -> Page:
        answer = mapping(body)
        return Page(items(answer.get(key)), _size(answer.get("page_size")))

    return page


def _history_page(body: object) -> Page:
    history = mapping(mapping(body).get("billing_history_vm"))
    pagination = maybe(mapping, history.get("pagination")) or {}
    return Page(items(history.get("billing_history")), _size(pagination.get("per_page")))


def _size(told: object) -> int:
    """Return how many rows a full page has: fewer than asked for where the cloud says so."""
    size = maybe(lambda value: whole(value, low=1), told)
    return min(size or PAGE_SIZE, PAGE_SIZE)


def _first(body: Mapping[str, object], shape: Callable[[object], T]) -> T | None:
    rows = items(mapping(body.get("billing_history_vm_details")).get("billing_history"))
    return shape(rows[0]) if rows else None


def _period(start: datetime, end: datetime) -> dict[str, str]:
    """Return a period in whole seconds, the end rounded up so that nothing is cut off."""
    last = end.astimezone(UTC)
    last = last.replace(microsecond=0) + timedelta(seconds=bool(last.microsecond))
    return {"start_date": f"{start.astimezone(UTC):%Y-%m-%dT%H:%M:%S}", "end_date": f"{last:%Y-%m-%dT%H:%M:%S}"}
