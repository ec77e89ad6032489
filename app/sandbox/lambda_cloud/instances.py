"""Lambda's instances and how they look on the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.sandbox.lambda_cloud.market import REGIONS, InstanceType
from app.sandbox.machines import Machine, Stage

MICROS_PER_CENT = 10_000
_STATUS = {
    Stage.BOOTING: "booting",
    Stage.RUNNING: "active",
    Stage.FAILED: "unhealthy",
    Stage.TERMINATING: "terminating",
    Stage.TERMINATED: "terminated",
}
_ADDRESS_KNOWN_AFTER = 0.6
"""The share of the boot after which ``ip`` is told."""
_REASONS = {
    "vm-has-not-launched": "The instance has not launched yet.",
    "vm-is-terminating": "The instance is terminating.",
}


@dataclass(kw_only=True, eq=False, slots=True)
class Instance(Machine):
    """A launched instance."""

    kind: InstanceType
    region: str
    key_name: str
    cents_per_hour: int
    hostname: str | None = None
    tags: list[dict[str, str]] = field(default_factory=list)


def region_row(name: str) -> dict[str, str]:
    """Return a region as the wire shows it."""
    return {"name": name, "description": REGIONS[name]}


def type_row(kind: InstanceType, *, cents: int | None = None) -> dict[str, Any]:
    """Return a type as the wire shows it, at its price or at the one a launch was made at."""
    return {
        "name": kind.name,
        "description": f"{kind.gpu_count}x {kind.gpu_description}",
        "gpu_description": kind.gpu_description,
        "price_cents_per_hour": kind.cents_per_hour if cents is None else cents,
        "specs": {
            "vcpus": kind.vcpus,
            "memory_gib": kind.memory_gib,
            "storage_gib": kind.storage_gib,
            "gpus": kind.gpu_count,
        },
    }


def instance_row(instance: Instance, *, at: datetime) -> dict[str, Any]:
    """Return an instance as the wire shows it; what is not known yet is left out."""
    row: dict[str, Any] = {
        "id": instance.id,
        "status": _STATUS[instance.stage],
        "ssh_key_names": [instance.key_name],
        "file_system_names": [],
        "region": region_row(instance.region),
        "instance_type": type_row(instance.kind, cents=instance.cents_per_hour),
        "is_reserved": False,
        "actions": _actions(instance),
    }
    if instance.marker is not None:
        row["name"] = instance.marker
    if instance.tags:
        row["tags"] = instance.tags
    if _address_known(instance, at):
        row |= {
            "ip": instance.address,
            "private_ip": instance.address.replace("127.77.", "10.19."),
            "hostname": instance.hostname or instance.address.replace(".", "-") + ".cloud.lambda.ai",
        }
    if instance.stage is Stage.RUNNING:
        row |= {
            "jupyter_token": instance.id,
            "jupyter_url": f"https://jupyter-{instance.id}.lambdaspaces.com/?token={instance.id}",
        }
    return row


def _address_known(instance: Instance, at: datetime) -> bool:
    if instance.stage is not Stage.BOOTING or instance.started_at is not None:
        return instance.alive
    passed = (at - instance.booting_since).total_seconds()
    return passed >= instance.boot_seconds * _ADDRESS_KNOWN_AFTER


def _actions(instance: Instance) -> dict[str, dict[str, object]]:
    """Return what may be done to it now; all five keys are required by the generated clients."""
    ending = instance.stage in {Stage.TERMINATING, Stage.TERMINATED}
    booting = instance.stage is Stage.BOOTING
    actions = {
        name: _action("vm-is-terminating" if ending else "vm-has-not-launched" if booting else None)
        for name in ("migrate", "rebuild", "restart", "cold_reboot")
    }
    return {**actions, "terminate": _action("vm-is-terminating" if ending else None)}


def _action(reason: str | None) -> dict[str, object]:
    if reason is None:
        return {"available": True}
    return {"available": False, "reason_code": reason, "reason_description": _REASONS[reason]}
