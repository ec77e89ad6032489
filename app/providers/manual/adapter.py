"""Machines of a price sheet as a ``Provider``: prices and facts from the sheet, machines from its desk.

- A sheet that is too old offers nothing, and the poll fails saying so; nobody is held to yesteryear's prices.
- The desk gives the same machine for the same marker, so a create is idempotent there. It is sent once all the same.
- Keys are each machine's own: the desk puts the platform's key on it. Nothing is kept in an account.
- There are no books to ask: the realised cost is seconds times the sheet's price, an estimate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import httpx

from app.kit.clock import Clock, SystemClock, whole_seconds
from app.kit.money import SECONDS_PER_HOUR
from app.providers.contract import (
    Capability,
    Connection,
    CostLine,
    Machine,
    MachineStatus,
    Offer,
    Order,
    RealisedCost,
)
from app.providers.errors import Gone, NoCapacity, Unavailable, Unsupported
from app.providers.keys import parse_public_key
from app.providers.manual.client import DeskClient
from app.providers.manual.sheet import SHEET_BYTES_MAX, Sheet, SheetError, parse_sheet
from app.providers.orders import check_order
from app.providers.reading import Malformed, host, items, mapping, maybe, name, port, text, whole
from app.providers.wire import WireOptions

_STATUSES: Mapping[str, MachineStatus] = MappingProxyType(
    {
        "booting": MachineStatus.PROVISIONING,
        "ready": MachineStatus.RUNNING,
        "failed": MachineStatus.FAILED,
        "leaving": MachineStatus.DELETING,
    }
)
_PORTS_MAX = 65_535


class ManualProvider:
    """One price sheet and its desk. The sheet is read anew at every poll, so that an operator edits it in place."""

    capability = Capability(
        name="manual",
        title="Price sheet",
        pricing="manual",
        launch="instance",
        shutdown="destroy",
        spot=False,
        interruption="none",
        hibernate=False,
        stop=False,
        billing_granularity_seconds=1,
        min_commitment_seconds=0,
        marker_max_length=64,
        realised_cost="estimate",
    )

    def __init__(
        self,
        *,
        sheet: Path,
        token: str,
        base_url: str,
        client: httpx.AsyncClient | None = None,
        options: WireOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Speak with the desk at ``base_url``; a given client stays the caller's to close."""
        self._path = sheet
        self._clock = clock or SystemClock()
        self._desk = DeskClient(base_url=base_url, token=token, client=client, options=options or WireOptions())

    async def list_offers(self) -> list[Offer]:
        """Return what the sheet prices and the desk has."""
        sheet = await self._current()
        free = await self._desk.stock(_stock)
        return [offer for offer in sheet.offers if free.get(offer.offer_id, 0) > 0]

    async def create(self, order: Order) -> str:
        """Rent one machine at the desk."""
        check_order(order, self.capability)
        if all(order.offer_id != offer.offer_id for offer in (await self._current()).offers):
            raise NoCapacity("no such offer")
        body = {
            "offer": order.offer_id,
            "marker": order.marker,
            "image": order.image,
            "disk_gb": order.disk_gb,
            "env": dict(order.env),
            "ports": list(order.ports),
            "public_key": parse_public_key(order.platform_public_key).line,
        }
        return await self._desk.rent(body, lambda value: _parse(value).machine_id)

    async def find_by_marker(self, marker: str) -> Machine | None:
        """Return the machine with this very marker, one that lives if there is any."""
        found = await self._machines("find_by_marker", marker, lambda its: its == marker)
        return min(found, key=lambda machine: machine.status is MachineStatus.DELETING, default=None)

    async def list_machines(self, marker_prefix: str) -> list[Machine]:
        """Return every machine whose marker starts so."""
        return await self._machines("list_machines", marker_prefix, lambda its: its.startswith(marker_prefix))

    async def get_machine(self, machine_id: str) -> Machine:
        """Return one machine."""
        return await self._desk.machine(machine_id, _parse)

    async def stop(self, machine_id: str) -> None:  # noqa: ARG002 - the contract's
        """A desk can't."""
        raise Unsupported("a desk stops no machine")

    async def hibernate(self, machine_id: str) -> None:  # noqa: ARG002 - the contract's
        """A desk can't."""
        raise Unsupported("a desk hibernates no machine")

    async def resume(self, machine_id: str) -> None:  # noqa: ARG002 - the contract's
        """A desk can't."""
        raise Unsupported("a desk resumes no machine")

    async def destroy(self, machine_id: str) -> None:
        """Give the machine back."""
        with suppress(Gone):
            await self._desk.give_back(machine_id)

    async def ensure_ssh_key(self, name: str, public_key: str) -> str:  # noqa: ARG002 - the contract's
        """Return the key's own name: the desk keeps no keys, each machine is ordered with the platform's."""
        return parse_public_key(public_key).name

    async def remove_ssh_key(self, key_id: str) -> None:
        """There is nothing to remove."""

    async def realised_cost(
        self,
        machine_id: str,  # noqa: ARG002 - the contract's
        *,
        start: datetime,
        end: datetime,
        price_micros_per_hour: int,
    ) -> RealisedCost:
        """Return seconds times the price."""
        seconds = whole_seconds(start, end)
        return RealisedCost(-(-price_micros_per_hour * seconds // SECONDS_PER_HOUR), exact=False)

    async def list_costs(self, *, start: datetime, end: datetime) -> list[CostLine]:  # noqa: ARG002 - the contract's
        """A desk has no books."""
        raise Unsupported("a desk tells no costs")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._desk.aclose()

    async def _current(self) -> Sheet:
        try:
            sheet = await asyncio.to_thread(read_sheet, self._path)
        except SheetError as error:
            raise Unavailable(str(error)) from error
        if sheet.is_stale(self._clock.now()):
            raise Unavailable(
                f"the price sheet is as of {sheet.as_of:%Y-%m-%d} and holds for {sheet.max_age.days} days: bring it up "
                "to date"
            )
        return sheet

    async def _machines(self, operation: str, prefix: str, wanted: Callable[[str], bool]) -> list[Machine]:
        def row(value: object) -> Machine | None:
            machine = _parse(value)
            return machine if machine.marker and wanted(machine.marker) else None

        return await self._desk.machines(operation, prefix, row)


def read_sheet(path: Path) -> Sheet:
    """Return the sheet in a file.

    Raises:
        SheetError: there is no such file, it is too long or not a sheet.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(SHEET_BYTES_MAX + 1)
        if len(raw) > SHEET_BYTES_MAX:
            raise SheetError(f"the price sheet is longer than {SHEET_BYTES_MAX} bytes")
        return parse_sheet(raw.decode())
    except (OSError, UnicodeDecodeError) as error:
        raise SheetError(f"the price sheet {path.name} can't be read: {error}"[:200]) from None


def _stock(value: object) -> dict[str, int]:
    return {offer_id: whole(count) for offer_id, count in mapping(value).items()}


def _parse(value: object) -> Machine:
    """Return a machine of the desk's.

    Raises:
        Malformed: the id, the marker or the status is not of its type.
    """
    item = mapping(value)
    said = name(item.get("status"))
    status = _STATUSES.get(said, MachineStatus.PROVISIONING)
    marker = item.get("marker")
    if marker is not None and not isinstance(marker, str):
        raise Malformed("a marker is a text")
    address, door = maybe(host, item.get("host")), maybe(port, item.get("port"))
    user = maybe(name, item.get("user")) or "root"
    ready = status is MachineStatus.RUNNING and address and door
    return Machine(
        machine_id=name(item.get("id"), longest=64),
        marker=marker or None,
        status=status,
        status_message=maybe(text, item.get("message")) or said,
        connection=Connection(address, door, user) if ready and address and door else None,
        ports=_ports(item.get("ports")) if ready else {},
    )


def _ports(value: object) -> dict[int, tuple[str, int]]:
    found: dict[int, tuple[str, int]] = {}
    for inner, outer in (maybe(mapping, value) or {}).items():
        pair = maybe(items, outer) or []
        if (
            inner.isascii()
            and inner.isdecimal()
            and 0 < int(inner) <= _PORTS_MAX
            and len(pair) == len(("host", "port"))
        ):
            address, door = maybe(host, pair[0]), maybe(port, pair[1])
            if address and door:
                found[int(inner)] = address, door
    return found
