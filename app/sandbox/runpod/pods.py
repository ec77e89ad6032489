"""RunPod's pods, and how one looks on the wire through its life."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.kit.clock import rfc3339
from app.sandbox.answers import dollars_number
from app.sandbox.machines import Machine, Stage
from app.sandbox.runpod.market import GpuType

HOURS_PER_MONTH = 720
_DISK_MICROS_PER_GB_MONTH = 100_000
_STOPPED_VOLUME_MICROS_PER_GB_MONTH = 200_000
_SSH = "22/tcp"
_ACTIONS = {
    "RUNNING": ["stop", "restart", "terminate"],
    "EXITED": ["start", "terminate"],
    "ERROR": ["start", "terminate"],
    "PROVISIONING": ["stop", "terminate"],
    "STARTING": ["stop", "terminate"],
    "TERMINATED": [],
}


@dataclass(kw_only=True, eq=False, slots=True)
class Pod(Machine):
    """A container on one host of a data centre."""

    kind: GpuType
    cloud: str
    data_center: str
    cuda_version: str
    image: str
    disk_gb: int
    args: str = ""
    ports: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    mounts: dict[str, Any] = field(default_factory=dict)
    registry: str | None = None
    locked: bool = False
    global_networking: bool = False
    gpus: int = 1
    """How many it has now: a stopped pod may come back without."""
    holds_gpus: bool = True

    @property
    def volume_gb(self) -> int:
        """The size of its own volume, 0 without one."""
        return int(self.mounts.get("persistent", {}).get("size", 0))

    def storage_micros_per_hour(self, *, stopped: bool) -> int:
        """Return what its storage costs: a stopped pod's container disk nothing, its volume twice as much."""
        if stopped:
            return self.volume_gb * _STOPPED_VOLUME_MICROS_PER_GB_MONTH // HOURS_PER_MONTH
        return (self.disk_gb + self.volume_gb) * _DISK_MICROS_PER_GB_MONTH // HOURS_PER_MONTH


def pod_status(pod: Pod, *, at: datetime) -> str:
    """Return the status: ``RUNNING`` comes while the container is still on its way."""
    match pod.stage:
        case Stage.BOOTING:
            passed = (at - pod.booting_since).total_seconds() / (pod.boot_seconds or 1)
            if pod.started_at is None and passed < 1 / 3:
                return "PROVISIONING"
            return "STARTING" if passed < 2 / 3 else "RUNNING"
        case Stage.RUNNING:
            return "RUNNING"
        case Stage.STOPPING | Stage.STOPPED:
            return "EXITED"
        case Stage.FAILED:
            return "ERROR"
        case _:
            return "TERMINATED"


def actions(status: str) -> list[str]:
    """Return what may be done to a pod in this status."""
    return list(_ACTIONS[status])


def pod_row(pod: Pod, *, at: datetime) -> dict[str, Any]:
    """Return a pod as the wire shows it, every key there."""
    status = pod_status(pod, at=at)
    paid = status not in {"EXITED", "TERMINATED"}
    return {
        "id": pod.id,
        "name": pod.marker or "",
        "image": pod.image,
        "args": pod.args,
        "disk": pod.disk_gb,
        "ports": list(pod.ports),
        "env": dict(pod.env),
        "registry": pod.registry,
        "status": status,
        "actions": actions(status),
        "mounts": pod.mounts,
        "gpu": {"id": pod.kind.id, "count": pod.gpus},
        "cloud": pod.cloud,
        "dataCenterId": pod.data_center,
        "cudaVersion": pod.cuda_version,
        "ssh": _ssh(pod),
        "template": None,
        "cost": dollars_number(pod.price_micros_per_hour if paid else 0),
        "locked": pod.locked,
        "globalNetworking": {"enabled": pod.global_networking},
        "runtime": _runtime(pod, at=at),
        "createdAt": rfc3339(pod.created_at),
        "startedAt": rfc3339(pod.started_at) if pod.started_at else None,
    }


def _runtime(pod: Pod, *, at: datetime) -> dict[str, Any] | None:
    """Return the container's own facts: there are none until it is up."""
    if pod.stage is not Stage.RUNNING or pod.started_at is None:
        return None
    return {
        "uptime": int((at - pod.started_at).total_seconds()),
        "gpus": [{"util": 0, "memoryUtil": 0} for _ in range(pod.gpus)],
        "cpu": {"util": 1},
        "memory": {"util": 2},
        "ports": [row for each in pod.ports if (row := _port_row(pod, each))],
    }


def _port_row(pod: Pod, declared: str) -> dict[str, Any] | None:
    """Return a port's mapping. Processes here listen on it directly; HTTP goes through RunPod's proxy."""
    number_, _, protocol = declared.partition("/")
    if not number_.isdecimal() or protocol not in {"tcp", "http"}:
        return None
    address, ssh_port = pod.endpoint or (None, None)
    if declared == _SSH:
        return {"private": 22, "public": ssh_port, "type": "tcp", "ip": address} if ssh_port else None
    ip = address if protocol == "tcp" else "100.65.0.7"
    return {"private": int(number_), "public": int(number_), "type": protocol, "ip": ip}


def _ssh(pod: Pod) -> dict[str, Any]:
    token = f"{pod.id}-{pod.data_center.lower()}"
    proxy = {"host": "ssh.runpod.io", "port": 22, "username": token, "command": f"ssh {token}@ssh.runpod.io"}
    address, port = pod.endpoint or (None, None)
    direct = None
    if pod.stage is Stage.RUNNING and port and _SSH in pod.ports:
        direct = {"host": address, "port": port, "username": "root", "command": f"ssh root@{address} -p {port}"}
    return {"proxy": proxy, "direct": direct}
