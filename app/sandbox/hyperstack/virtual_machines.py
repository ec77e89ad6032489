"""Hyperstack's machines and how they look on the wire through their life."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.sandbox.hyperstack.environments import Environment, wire_time
from app.sandbox.hyperstack.market import Flavor, features_of, flavor_row
from app.sandbox.machines import Machine, Span, Stage

_STATUS = {
    Stage.RUNNING: "ACTIVE",
    Stage.STOPPING: "STOPPING",
    Stage.STOPPED: "SHUTOFF",
    Stage.HIBERNATING: "HIBERNATING",
    Stage.HIBERNATED: "HIBERNATED",
    Stage.FAILED: "ERROR",
    Stage.TERMINATING: "DELETING",
    Stage.TERMINATED: "DELETED",
    Stage.GONE: "DELETED",
}
_CREATING_UNTIL, _ADDRESS_FROM = 0.2, 0.6
"""Shares of the boot: until when a new machine is being created, and from when its address is known."""


@dataclass(kw_only=True, eq=False, slots=True)
class VirtualMachine(Machine):
    """A machine in an environment. Its address is public while ``floating``."""

    flavor: Flavor
    environment: Environment
    key_name: str
    image_name: str
    labels: list[str] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    floating: bool = True
    retains_ip: bool = False
    """Keeps its address while it hibernates, for a price."""
    randomized: bool = False
    """The cloud moves ports about: the usual ones don't answer."""
    boots_as: str = ""
    """What it is doing when not its first boot: ``STARTING``, ``REBOOTING``, ``RESTORING``."""
    stopped: list[Span] = field(default_factory=list)
    """When it was shut down, which costs as before."""


def status_of(machine: VirtualMachine, at: datetime) -> str:
    """Return the status that the wire tells."""
    if machine.stage is not Stage.BOOTING:
        return _STATUS[machine.stage]
    if machine.boots_as:
        return machine.boots_as
    return "CREATING" if _share(machine, at) < _CREATING_UNTIL else "BUILD"


def machine_row(machine: VirtualMachine, *, at: datetime) -> dict[str, Any]:
    """Return a machine as the wire shows it."""
    status, environment = status_of(machine, at), machine.environment
    return {
        "id": int(machine.id),
        "name": machine.marker or f"vm-{machine.id}",
        "status": status,
        "vm_state": {"ACTIVE": "active", "SHUTOFF": "stopped", "ERROR": "error"}.get(status, "building"),
        "power_state": "RUNNING" if status == "ACTIVE" else "SHUTDOWN",
        "environment": {
            "id": environment.id,
            "name": environment.name,
            "region": environment.region,
            "org_id": 1,
            "features": {"network_optimised": False, "green_status": "GREEN"},
        },
        "image": {"name": machine.image_name},
        "flavor": _flavor(machine.flavor),
        "keypair": {"name": machine.key_name},
        **_addresses(machine, at),
        "labels": machine.labels,
        "created_at": wire_time(machine.created_at),
        "security_rules": machine.rules,
        "volume_attachments": [],
        "locked": False,
        "contract_id": None,
        "callback_url": None,
        "port_randomization": machine.randomized,
        "port_randomization_status": None,
        "os": "Ubuntu",
        "features": features_of(machine.flavor),
        "requires_public_ip": False,
    }


def _flavor(flavor: Flavor) -> dict[str, Any]:
    row = flavor_row(flavor)
    same = ("id", "name", "cpu", "ram", "disk", "ephemeral", "gpu", "gpu_count", "features", "labels")
    return {key: row[key] for key in same}


def _addresses(machine: VirtualMachine, at: datetime) -> dict[str, Any]:
    """Return the addresses: the public one is told before it is attached."""
    known = machine.stage is not Stage.BOOTING or _share(machine, at) >= _ADDRESS_FROM
    given_up = machine.stage is Stage.HIBERNATED and not machine.retains_ip
    told = machine.floating and known and machine.alive and not given_up
    attached = "ATTACHED" if machine.stage is not Stage.BOOTING else "ATTACHING"
    return {
        "fixed_ip": machine.address.replace("127.78.", "10.0.") if known else None,
        "floating_ip": machine.address if told else None,
        "floating_ip_status": attached if told else None,
    }


def _share(machine: VirtualMachine, at: datetime) -> float:
    return (at - machine.booting_since).total_seconds() / (machine.boot_seconds or 1)
