"""Vast.ai's offers, instances and charges in our words and units."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from app.providers.contract import Connection, Machine, MachineStatus, Offer
from app.providers.keyring import StoredKey
from app.providers.keys import find_public_key
from app.providers.reading import (
    PRICE_MAX_DOLLARS,
    Malformed,
    floored,
    host,
    items,
    mapping,
    maybe,
    moment,
    name,
    number,
    port,
    price_micros,
    text,
    whole,
)

BID_MIN_MICROS = 1_000
BID_MAX_MICROS = 128_000_000
BID_MARGIN_PERCENT = 10
"""We bid so much above the floor, so that a small move doesn't outbid us at once."""

_MB = 10**6
_MIB = 2**20
_PPM = 10**6
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_NOT_SLUG = re.compile(r"[^a-z0-9]+")
_PORT_KEY = re.compile(r"([0-9]{1,5})/tcp", re.ASCII)
_INSTANCE = re.compile(r"instance-([1-9][0-9]{0,18})", re.ASCII)
_SSH_PORT = 22
_DATACENTER_HOSTING = 1
_FAILED_START = "oci runtime create failed"

_WANTED_RUNNING: Mapping[str | None, MachineStatus] = MappingProxyType(
    {
        "running": MachineStatus.RUNNING,
        "frozen": MachineStatus.HIBERNATED,
        "exited": MachineStatus.FAILED,
        "unknown": MachineStatus.FAILED,
        "offline": MachineStatus.FAILED,
    }
)
"""``actual_status`` while the instance is wanted running; any other is on the way."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What was charged from one moment to another."""

    source: str
    """Such as ``instance-555``."""
    label: str | None
    start: datetime
    end: datetime
    dollars: Decimal

    @property
    def machine_id(self) -> str | None:
        """The instance's id, None where something else was charged."""
        found = _INSTANCE.fullmatch(self.source)
        return found[1] if found else None


def parse_offer(value: object, *, spot: bool) -> Offer | None:
    """Return an offer, None where it is not to be had at the moment.

    Raises:
        Malformed: something that we need is missing or makes no sense.
    """
    item = mapping(value)
    if item.get("rentable") is False or item.get("rented") is True:
        return None
    region_id, region_name, country = _region(item.get("geolocation"))
    gpu_name = name(item.get("gpu_name"))
    static = item.get("static_ip")
    return Offer(
        provider="vast",
        offer_id=str(whole(item.get("id"), low=1)),
        gpu_name=gpu_name,
        gpu_count=whole(item.get("num_gpus"), low=1, high=1024),
        vram_mib=floored(item.get("gpu_ram"), low=1, high=2**24),
        price_micros_per_hour=_bid(item.get("min_bid")) if spot else _asked(item.get("dph_base")),
        disk_micros_per_gb_month=price_micros(item.get("storage_cost")),
        spot=spot,
        region_id=region_id,
        region_name=region_name,
        country=country,
        cpu_cores=maybe(_cores, item.get("cpu_cores_effective")),
        ram_mib=_ram_mib(item),
        disk_gb_max=maybe(floored, item.get("disk_space")),
        inet_up_mbps=maybe(floored, item.get("inet_up")),
        inet_down_mbps=maybe(floored, item.get("inet_down")),
        egress_micros_per_gb=maybe(price_micros, item.get("inet_up_cost")),
        interconnect=_interconnect(gpu_name),
        cuda_max=maybe(_version, item.get("cuda_max_good")),
        reliability_ppm=maybe(_ppm, item.get("reliability", item.get("reliability2"))),
        security_tier="datacenter" if item.get("hosting_type") == _DATACENTER_HOSTING else "community",
        static_ip=static is True,
        architecture="arm64" if item.get("cpu_arch") in ("arm64", "aarch64") else "x86_64",
        host_id=maybe(lambda machine: str(whole(machine)), item.get("machine_id")),
    )


def parse_machine(value: object) -> Machine:
    """Return an instance.

    Raises:
        Malformed: the id, the label or a part of the status is not of its type.
    """
    item = mapping(value)
    status = _status(item)
    running = status is MachineStatus.RUNNING
    ports = _ports(item) if running else {}
    return Machine(
        machine_id=str(whole(item.get("id"), low=1)),
        marker=label_of(item),
        status=status,
        status_message=maybe(text, item.get("status_msg")) or "",
        connection=_connection(item, ports) if running else None,
        ports=ports,
        price_micros_per_hour=maybe(price_micros, item.get("dph_total")),
        created_at=maybe(moment, item.get("start_date")),
        preempts_at=maybe(moment, item.get("end_date")),
    )


def label_of(value: object) -> str | None:
    """Return an instance's label as it stands, None where there is none."""
    label = mapping(value).get("label")
    if label is not None and not isinstance(label, str):
        raise Malformed("a label is a text")
    return label or None


def parse_key(value: object) -> StoredKey | None:
    """Return an account's SSH key, None for a kind that is none of ours."""
    item = mapping(value)
    key = find_public_key(item.get("key", item.get("public_key")))
    return None if key is None else StoredKey(str(whole(item.get("id"), low=1)), "", key)


def parse_charge(value: object) -> Charge:
    """Return one row of the cloud's books."""
    row = mapping(value)
    return Charge(
        source=maybe(text, row.get("source")) or "",
        label=maybe(name, (maybe(mapping, row.get("metadata")) or {}).get("label")),
        start=moment(row.get("start")),
        end=moment(row.get("end")),
        dollars=number(row.get("amount"), low=-PRICE_MAX_DOLLARS, high=PRICE_MAX_DOLLARS),
    )


def _status(item: Mapping[str, object]) -> MachineStatus:
    actual, wanted = _state(item, "actual_status"), _state(item, "intended_status")
    current, following = _state(item, "cur_state"), _state(item, "next_state")
    if wanted == "frozen":
        return MachineStatus.HIBERNATED
    if wanted == "stopped":
        if item.get("is_bid") is True and current == following == "stopped":
            return MachineStatus.PREEMPTED
        stopped = current == "stopped" and actual != "running"
        return MachineStatus.STOPPED if stopped else MachineStatus.STOPPING
    if actual == "created" and _FAILED_START in (maybe(text, item.get("status_msg")) or "").lower():
        return MachineStatus.FAILED
    return _WANTED_RUNNING.get(actual, MachineStatus.PROVISIONING)


def _state(item: Mapping[str, object], key: str) -> str | None:
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise Malformed(f"{key} is a word")
    return value


def _connection(item: Mapping[str, object], ports: Mapping[int, tuple[str, int]]) -> Connection | None:
    """Prefer the direct port: the proxy is slower and shared."""
    if _SSH_PORT in ports:
        return Connection(*ports[_SSH_PORT], username="root")
    proxy_host, proxy_port = maybe(host, item.get("ssh_host")), maybe(port, item.get("ssh_port"))
    return Connection(proxy_host, proxy_port, username="root") if proxy_host and proxy_port else None


def _ports(item: Mapping[str, object]) -> dict[int, tuple[str, int]]:
    public = maybe(host, item.get("public_ipaddr"))
    found: dict[int, tuple[str, int]] = {}
    for key, bindings in (maybe(mapping, item.get("ports")) or {}).items():
        container = _PORT_KEY.fullmatch(key)
        first = (maybe(items, bindings) or [None])[0]
        outer = maybe(port, (maybe(mapping, first) or {}).get("HostPort"))
        if public and container and outer:
            found[int(container[1])] = (public, outer)
    return found


def _asked(value: object) -> int:
    micros = price_micros(value)
    if micros == 0:
        raise Malformed("an offer has a price")
    return micros


def _bid(value: object) -> int:
    """Return the floor with our margin, in micro-dollars, within what may be bid."""
    floor = price_micros(value)
    bid = max(BID_MIN_MICROS, -(-floor * (100 + BID_MARGIN_PERCENT) // 100))
    if floor == 0 or bid > BID_MAX_MICROS:
        raise Malformed("a floor that nobody can bid")
    return bid


def _region(value: object) -> tuple[str, str, str | None]:
    """Read ``City, CC``; the city or all of it may be missing."""
    place = maybe(text, value) or ""
    parts = [part.strip() for part in place.split(",") if part.strip()]
    country = parts[-1] if parts and _COUNTRY.fullmatch(parts[-1]) else None
    shown = ", ".join(parts)
    slug = _NOT_SLUG.sub("-", shown.casefold()).strip("-")
    return slug or "unknown", shown or "Unknown", country


def _ram_mib(item: Mapping[str, object]) -> int | None:
    """Return our share of the host's memory, which comes in MB for the whole host."""
    memory = maybe(floored, item.get("cpu_ram"))
    ours, all_cores = maybe(number, item.get("cpu_cores_effective")), maybe(number, item.get("cpu_cores"))
    if memory is None or not ours or not all_cores:
        return None
    return int(min(Decimal(1), ours / all_cores) * memory * _MB / _MIB)


def _cores(value: object) -> int:
    return max(1, floored(value, high=4096))


def _ppm(value: object) -> int:
    return int(number(value, high=1) * _PPM)


def _version(value: object) -> str:
    return f"{number(value, low=1, high=99).normalize():f}"


def _interconnect(gpu_name: str) -> str | None:
    """Read the form from the name; Vast.ai has it for the models that come in several."""
    upper = gpu_name.upper()
    return next((form for form in ("sxm", "pcie", "nvl") if form.upper() in upper), None)
