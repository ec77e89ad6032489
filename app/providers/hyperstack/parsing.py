"""Hyperstack's flavors, machines and books in our words and units."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from types import MappingProxyType

from app.kit.money import MICROS_PER_DOLLAR
from app.providers.contract import Connection, CostLine, Machine, MachineStatus
from app.providers.keys import PublicKey, find_public_key
from app.providers.reading import PRICE_MAX_DOLLARS, Malformed, host, items, mapping, maybe, name, number, text, whole

_SSH_PORT = 22
_STATUSES: Mapping[str, MachineStatus] = MappingProxyType(
    {
        "CREATING": MachineStatus.PROVISIONING,
        "BUILD": MachineStatus.PROVISIONING,
        "STARTING": MachineStatus.PROVISIONING,
        "REBOOTING": MachineStatus.PROVISIONING,
        "RESTORING": MachineStatus.PROVISIONING,
        "ACTIVE": MachineStatus.RUNNING,
        "STOPPING": MachineStatus.STOPPING,
        "HIBERNATING": MachineStatus.STOPPING,
        "SHUTOFF": MachineStatus.STOPPED,
        "HIBERNATED": MachineStatus.HIBERNATED,
        "DELETING": MachineStatus.DELETING,
        "DELETED": MachineStatus.GONE,
        "ERROR": MachineStatus.FAILED,
    }
)
_LOCAL_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2})(?:\.\d{1,9})?(?:Z|\+00:?00)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class EnvironmentKey:
    """An SSH key of one environment."""

    key_id: str
    name: str
    environment: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class Booked:
    """What the books say of one machine within a period."""

    machine_id: str
    machine_name: str | None
    micros: int
    ended: bool
    """Whether they know that the machine has ended."""


def parse_machine(value: object, *, ssh_port: int) -> Machine:
    """Return a machine.

    Raises:
        Malformed: the id, the name or the status is not of its type.
    """
    item = mapping(value)
    said = name(item.get("status"))
    status = _STATUSES.get(said, MachineStatus.PROVISIONING)
    address = maybe(host, item.get("floating_ip"))
    attached = item.get("floating_ip_status") == "ATTACHED"
    reachable = address if status is MachineStatus.RUNNING and attached else None
    return Machine(
        machine_id=_id(item.get("id")),
        marker=marker_of(item),
        status=status,
        status_message=said,
        connection=Connection(reachable, ssh_port, "ubuntu") if reachable else None,
        ports={port: (reachable, port) for port in _open_ports(item)} if reachable else {},
        created_at=maybe(_moment, item.get("created_at")),
    )


def marker_of(value: object) -> str | None:
    """Return the marker: the name, which nothing changes once the machine is made; labels anybody may change."""
    its_name = mapping(value).get("name")
    if its_name is not None and not isinstance(its_name, str):
        raise Malformed("a name is a text")
    return its_name or None


def parse_created(value: object) -> str:
    """Return the id of the machine that was created."""
    created = items(value)
    if not created:
        raise Malformed("no machine is told of")
    return _id(mapping(created[0]).get("id"))


def parse_key(value: object) -> EnvironmentKey | None:
    """Return an SSH key, None for a kind that is none of ours."""
    item = mapping(value)
    key = find_public_key(item.get("public_key"))
    if key is None:
        return None
    environment = name(mapping(item.get("environment")).get("name"))
    return EnvironmentKey(_id(item.get("id")), name(item.get("name")), environment, key)


def parse_booked(value: object) -> Booked:
    """Return one row of the books."""
    row = mapping(value)
    attributes, metrics = mapping(row.get("attributes")), mapping(row.get("metrics"))
    return Booked(
        machine_id=_id(attributes.get("infrahub_id")),
        machine_name=maybe(name, attributes.get("resource_name")),
        micros=_micros(metrics.get("incurred_bill")),
        ended=attributes.get("status") == "DELETED",
    )


def cost_line(value: object) -> CostLine:
    """Return one row of the books as a line of costs."""
    booked = parse_booked(value)
    return CostLine(booked.machine_id, booked.machine_name, booked.micros)


def _id(value: object) -> str:
    return str(whole(value, low=1))


def _open_ports(item: Mapping[str, object]) -> list[int]:
    """Return the ports of rules that open a single one to the world, without that of SSH."""
    found = []
    for value in maybe(items, item.get("security_rules")) or []:
        rule = maybe(mapping, value) or {}
        low, high = (maybe(_port, rule.get(f"port_range_{end}")) for end in ("min", "max"))
        if rule.get("direction") == "ingress" and low is not None and low == high and low != _SSH_PORT:
            found.append(low)
    return found


def _port(value: object) -> int:
    return whole(value, low=1, high=65_535)


def _micros(value: object) -> int:
    dollars = number(value, low=0, high=PRICE_MAX_DOLLARS)
    return int((Decimal(dollars) * MICROS_PER_DOLLAR).to_integral_value(rounding=ROUND_CEILING))


def _moment(value: object) -> datetime:
    """Read ``2024-01-01T00:00:00``: in UTC, though it does not say so."""
    found = _LOCAL_TIME.fullmatch(text(value))
    try:
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else _refuse()
    except ValueError as error:
        raise Malformed("a time was expected") from error


def _refuse() -> datetime:
    raise Malformed("a time was expected")
