"""RunPod's GPU types, pods and books in our words and units."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType

from app.providers.contract import Connection, Machine, MachineStatus, Offer
from app.providers.reading import (
    PRICE_MAX_DOLLARS,
    Malformed,
    host,
    items,
    mapping,
    maybe,
    name,
    number,
    port,
    price_micros,
    text,
    whole,
)

CLOUDS: Mapping[str, str] = MappingProxyType({"SECURE": "secure", "COMMUNITY": "community"})
"""Cloud → its key in a GPU type's facts, which is also our security tier."""
ANYWHERE = "ANY"
"""In place of a data centre where the cloud chooses it."""

_MIB_PER_GB = 1024
_DISK_MICROS_PER_GB_MONTH = 100_000
_HOURS_PER_MONTH = 720
_SSH_PORT = 22
_IN_COUNTRY = frozenset({"US", "CA"})
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_DATA_CENTER = re.compile(r"[A-Z0-9-]{2,32}", re.ASCII)
_VERSION = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})", re.ASCII)
_AVAILABILITIES = frozenset({"NONE", "LOW", "MEDIUM", "HIGH"})

_STATUSES: Mapping[str, MachineStatus] = MappingProxyType(
    {
        "PROVISIONING": MachineStatus.PROVISIONING,
        "STARTING": MachineStatus.PROVISIONING,
        "RUNNING": MachineStatus.RUNNING,
        "EXITED": MachineStatus.STOPPED,
        "ERROR": MachineStatus.FAILED,
        "TERMINATED": MachineStatus.GONE,
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """What an offer's id stands for: so many GPUs of a type, in one of the clouds, in one data centre or anywhere."""

    cloud: str
    data_center: str
    gpu_count: int
    gpu_id: str

    def __str__(self) -> str:
        """Return the offer's id."""
        return f"{self.cloud}:{self.data_center}:{self.gpu_count}:{self.gpu_id}"


@dataclass(frozen=True, slots=True)
class Stock:
    """A GPU type as it was told for one cloud and count, and one data centre that has it; None for anywhere."""

    cloud: str
    gpu_count: int
    gpu: object
    data_center: object


@dataclass(frozen=True, slots=True)
class Booking:
    """What was booked for a pod in one bucket of time."""

    pod_id: str
    dollars: Decimal


def read_place(offer_id: str) -> Place | None:
    """Return what an offer's id stands for, None for an id of another form."""
    cloud, _, rest = offer_id.partition(":")
    data_center, _, rest = rest.partition(":")
    count, _, gpu_id = rest.partition(":")
    sound = cloud in CLOUDS and _DATA_CENTER.fullmatch(data_center) and count.isascii() and count.isdecimal()
    return Place(cloud, data_center, int(count[:4]), gpu_id) if sound and gpu_id else None


def stocks(gpus: list[object], *, cloud: str, gpu_count: int) -> Iterator[Stock]:
    """Yield each GPU type with each data centre that is told for it.

    A type that is to be had while no data centre is named yields one stock for anywhere, and one that can't be read
    yields one that can't either.
    """
    for gpu in gpus:
        listed = maybe(items, (maybe(mapping, gpu) or {}).get("dataCenters"))
        for data_center in listed or [None]:
            yield Stock(cloud, gpu_count, gpu, data_center)


def largest_count(gpus: list[object], cloud: str) -> int:
    """Return the most GPUs that any pod of one cloud may have."""
    ceilings = (maybe(mapping, (maybe(mapping, gpu) or {}).get("maxCount")) or {} for gpu in gpus)
    return max((maybe(whole, ceiling.get(CLOUDS[cloud])) or 0 for ceiling in ceilings), default=0)


def parse_offer(stock: Stock) -> Offer | None:
    """Return an offer, None where there is none of it now.

    Raises:
        Malformed: something that we need is missing or makes no sense.
    """
    gpu, tier = mapping(stock.gpu), CLOUDS[stock.cloud]
    gpu_id = name(gpu.get("id"))
    ceiling = whole(mapping(gpu.get("maxCount")).get(tier), high=1024)
    where = gpu if stock.data_center is None else mapping(stock.data_center)
    offered = gpu.get(tier) is True and gpu.get("manufacturer") in (None, "NVIDIA") and stock.gpu_count <= ceiling
    if not offered or _availability(where) == "NONE":
        return None
    price = price_micros(mapping(gpu.get("price")).get(tier)) * stock.gpu_count
    if price == 0:
        raise Malformed("a GPU has a price")
    region_id = ANYWHERE if stock.data_center is None else _data_center(where.get("id"))
    return Offer(
        provider="runpod",
        offer_id=str(Place(stock.cloud, region_id, stock.gpu_count, gpu_id)),
        gpu_name=gpu_id,
        gpu_count=stock.gpu_count,
        vram_mib=whole(gpu.get("memory"), low=1, high=2**14) * _MIB_PER_GB,
        price_micros_per_hour=price,
        disk_micros_per_gb_month=_DISK_MICROS_PER_GB_MONTH,
        spot=False,
        region_id=region_id,
        region_name="Anywhere" if stock.data_center is None else maybe(name, where.get("name")) or region_id,
        country=_country(region_id),
        egress_micros_per_gb=0,
        stopped_micros_per_hour=0,
        interconnect=next((form for form in ("sxm", "pcie", "nvl") if form in gpu_id.lower()), None),
        cuda_max=_cuda_max(gpu.get("cudaVersions")),
        security_tier=tier,
    )


def parse_machine(value: object) -> Machine:
    """Return a pod. One that is ``RUNNING`` while nothing is told of its container is not up yet.

    Raises:
        Malformed: the id, the name or the status is not of its type.
    """
    item = mapping(value)
    said = name(item.get("status"))
    status = _STATUSES.get(said, MachineStatus.PROVISIONING)
    runtime = maybe(mapping, item.get("runtime"))
    if status is MachineStatus.RUNNING and runtime is None:
        status = MachineStatus.PROVISIONING
    ports = _ports(runtime) if runtime and status is MachineStatus.RUNNING else {}
    return Machine(
        machine_id=pod_id_of(item),
        marker=marker_of(item),
        status=status,
        status_message=said,
        connection=_connection(item, ports) if status is MachineStatus.RUNNING else None,
        ports=ports,
        price_micros_per_hour=_price(item),
        created_at=maybe(_moment, item.get("createdAt")),
    )


def pod_id_of(value: object) -> str:
    """Return a pod's id."""
    return name(mapping(value).get("id"), longest=64)


def marker_of(value: object) -> str | None:
    """Return a pod's name as it stands, None where there is none."""
    marker = mapping(value).get("name")
    if marker is not None and not isinstance(marker, str):
        raise Malformed("a name is a text")
    return marker or None


def gpu_count_of(value: object) -> int:
    """Return how many GPUs a pod has, 0 for none: a stopped pod may come back without."""
    return maybe(whole, (maybe(mapping, mapping(value).get("gpu")) or {}).get("count")) or 0


def parse_booking(value: object) -> Booking:
    """Return one record of the cloud's books."""
    row = mapping(value)
    return Booking(
        pod_id=name(row.get("podId"), longest=64),
        dollars=number(row.get("totalAmount"), low=-PRICE_MAX_DOLLARS, high=PRICE_MAX_DOLLARS),
    )


def _connection(item: Mapping[str, object], ports: Mapping[int, tuple[str, int]]) -> Connection | None:
    """Return the published port, never the proxy: that takes a person's shell only, and no file."""
    if _SSH_PORT in ports:
        return Connection(*ports[_SSH_PORT], username="root")
    direct = maybe(mapping, (maybe(mapping, item.get("ssh")) or {}).get("direct")) or {}
    address, number_ = maybe(host, direct.get("host")), maybe(port, direct.get("port"))
    username = maybe(name, direct.get("username")) or "root"
    return Connection(address, number_, username) if address and number_ else None


def _ports(runtime: Mapping[str, object]) -> dict[int, tuple[str, int]]:
    found: dict[int, tuple[str, int]] = {}
    for value in maybe(items, runtime.get("ports")) or []:
        row = maybe(mapping, value) or {}
        inner, outer = maybe(port, row.get("private")), maybe(port, row.get("public"))
        address = maybe(host, row.get("ip"))
        if row.get("type") == "tcp" and inner and outer and address:
            found[inner] = (address, outer)
    return found


def _price(item: Mapping[str, object]) -> int | None:
    """Return what a pod costs by the hour. Storage is not in what is told; a stopped pod's container disk is free."""
    gpus = maybe(price_micros, item.get("cost"))
    if not gpus:
        return gpus
    volume = (maybe(mapping, (maybe(mapping, item.get("mounts")) or {}).get("persistent")) or {}).get("size")
    gb = sum(maybe(whole, size) or 0 for size in (item.get("disk"), volume))
    return gpus + -(-gb * _DISK_MICROS_PER_GB_MONTH // _HOURS_PER_MONTH)


def _availability(where: Mapping[str, object]) -> str:
    """Return the word for how many there are. A new word is no reason to offer nothing."""
    said = where.get("availability")
    if said is None:
        return "NONE"
    return text(said) if text(said) in _AVAILABILITIES else "LOW"


def _data_center(value: object) -> str:
    found = name(value)
    if not _DATA_CENTER.fullmatch(found):
        raise Malformed("a data centre's id has another form")
    return found


def _country(data_center: str) -> str | None:
    """Read ``US-KS-2`` and ``EU-RO-1``: the country, or a continent and the country."""
    first, _, rest = data_center.partition("-")
    second = rest.partition("-")[0]
    country = first if first in _IN_COUNTRY else second
    return country if _COUNTRY.fullmatch(country) else None


def _cuda_max(value: object) -> str | None:
    rows = [maybe(mapping, row) or {} for row in maybe(items, value) or []]
    said = [_VERSION.fullmatch(maybe(text, row.get("version")) or "") for row in rows if row.get("available") is True]
    versions = [(int(found[1]), int(found[2])) for found in said if found]
    return "{}.{}".format(*max(versions)) if versions else None


def _moment(value: object) -> datetime:
    try:
        at = datetime.fromisoformat(text(value))
    except ValueError as error:
        raise Malformed("a moment was expected") from error
    return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
