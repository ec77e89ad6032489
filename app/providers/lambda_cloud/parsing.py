"""Lambda's instance types and instances in our words and units."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from app.providers.contract import Connection, Machine, MachineStatus, Offer
from app.providers.keyring import StoredKey
from app.providers.keys import find_public_key
from app.providers.reading import Malformed, floored, host, items, mapping, maybe, name, text, whole

MARKER_TAG = "marker"
SEPARATOR = ":"
"""Between type and region in an offer's id; neither has it."""

_MICROS_PER_CENT = 10_000
_CENTS_MAX = 10_000_000
_MIB_PER_GIB = 1024
_GIB = 2**30
_GB = 10**9
_TYPE = re.compile(r"gpu_[0-9]{1,3}x_([a-z0-9_]{1,64})", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_VRAM = re.compile(r"\(([0-9]{1,4}) GB\b", re.ASCII)
_ARM_STEMS = ("gh200", "gb200", "gb300")

_COUNTRIES: Mapping[str, str] = MappingProxyType(
    {
        "us": "US",
        "europe-central": "DE",
        "asia-south": "IN",
        "asia-northeast": "JP",
        "me-west": "IL",
        "australia-east": "AU",
    }
)
"""How a region's name begins → country; the cloud tells it only in words."""

_STATUSES: Mapping[str, MachineStatus] = MappingProxyType(
    {
        "booting": MachineStatus.PROVISIONING,
        "active": MachineStatus.RUNNING,
        "unhealthy": MachineStatus.FAILED,
        "terminating": MachineStatus.DELETING,
        "terminated": MachineStatus.GONE,
        "preempted": MachineStatus.PREEMPTED,
    }
)


@dataclass(frozen=True, slots=True)
class Stock:
    """A type and one region that has it, as the wire has them."""

    type_name: str
    entry: object
    region: object


def stocks(types: Mapping[str, object]) -> Iterator[Stock]:
    """Yield each type with each region that has some. An entry that can't be read yields one stock that can't either."""
    for type_name, entry in types.items():
        regions = (maybe(mapping, entry) or {}).get("regions_with_capacity_available")
        for region in [None] if (listed := maybe(items, regions)) is None else listed:
            yield Stock(type_name, entry, region)


def parse_offer(stock: Stock) -> Offer | None:
    """Return an offer, None for a type without GPUs.

    Raises:
        Malformed: something that we need is missing or makes no sense.
    """
    kind = mapping(mapping(stock.entry).get("instance_type"))
    specs = mapping(kind.get("specs"))
    gpu_count = whole(specs.get("gpus"), high=1024)
    if gpu_count == 0:
        return None
    stem, region = _stem(stock.type_name), mapping(stock.region)
    region_id = _region_id(region)
    storage = maybe(floored, specs.get("storage_gib"))
    memory = maybe(floored, specs.get("memory_gib"))
    return Offer(
        provider="lambda",
        offer_id=f"{stock.type_name}{SEPARATOR}{region_id}",
        gpu_name=stem,
        gpu_count=gpu_count,
        vram_mib=_vram_mib(kind),
        price_micros_per_hour=whole(kind.get("price_cents_per_hour"), low=1, high=_CENTS_MAX) * _MICROS_PER_CENT,
        disk_micros_per_gb_month=0,
        spot=False,
        region_id=region_id,
        region_name=maybe(name, region.get("description")) or region_id,
        country=next((country for begin, country in _COUNTRIES.items() if region_id.startswith(f"{begin}-")), None),
        cpu_cores=maybe(whole, specs.get("vcpus")),
        ram_mib=None if memory is None else memory * _MIB_PER_GIB,
        disk_gb_max=None if storage is None else storage * _GIB // _GB,
        egress_micros_per_gb=0,
        interconnect=next((form for form in ("sxm", "pcie", "nvl") if form in stem), None),
        security_tier="secure",
        static_ip=True,
        architecture="arm64" if stem.startswith(_ARM_STEMS) else "x86_64",
    )


def parse_machine(value: object, *, ssh_port: int) -> Machine:
    """Return an instance.

    Raises:
        Malformed: the id, the name or the status is not of its type.
    """
    item = mapping(value)
    said = name(item.get("status"))
    status = _STATUSES.get(said, MachineStatus.PROVISIONING)
    address = maybe(host, item.get("ip"))
    reachable = status is MachineStatus.RUNNING and address
    cents = (maybe(mapping, item.get("instance_type")) or {}).get("price_cents_per_hour")
    price = maybe(lambda value: whole(value, high=_CENTS_MAX) * _MICROS_PER_CENT, cents)
    return Machine(
        machine_id=_instance_id(item.get("id")),
        marker=marker_of(item),
        status=status,
        status_message=said,
        connection=Connection(address, ssh_port, "ubuntu") if reachable and address else None,
        price_micros_per_hour=price,
    )


def marker_of(value: object) -> str | None:
    """Return the marker from the tag, else the name, which anybody may have changed."""
    item = mapping(value)
    tags = [maybe(mapping, tag) or {} for tag in maybe(items, item.get("tags")) or []]
    tagged = [tag.get("value") for tag in tags if tag.get("key") == MARKER_TAG]
    marker = tagged[0] if tagged else item.get("name")
    if marker is not None and not isinstance(marker, str):
        raise Malformed("a name is a text")
    return marker or None


def parse_launch(data: object) -> str:
    """Return the id of the instance that was launched."""
    launched = [_instance_id(value) for value in items(mapping(data).get("instance_ids"))]
    if not launched:
        raise Malformed("no instance is told of")
    return launched[0]


def parse_key(value: object) -> StoredKey | None:
    """Return an account's SSH key, None for a kind that is none of ours."""
    item = mapping(value)
    key = find_public_key(item.get("public_key"))
    return None if key is None else StoredKey(name(item.get("id")), name(item.get("name"), longest=256), key)


def _instance_id(value: object) -> str:
    return name(value, longest=64)


def _stem(type_name: str) -> str:
    found = _TYPE.fullmatch(type_name)
    if found is None:
        raise Malformed("a type's name has another form")
    return found[1]


def _region_id(region: Mapping[str, object]) -> str:
    region_id = name(region.get("name"))
    if not _REGION.fullmatch(region_id):
        raise Malformed("a region's name has another form")
    return region_id


def _vram_mib(kind: Mapping[str, object]) -> int:
    """Read ``(80 GB PCIe)``: memory stands only in the description. Nominal GB are binary."""
    for key in ("gpu_description", "description"):
        if found := _VRAM.search(maybe(text, kind.get(key)) or ""):
            return int(found[1]) * _MIB_PER_GIB
    raise Malformed("the description tells no memory")
