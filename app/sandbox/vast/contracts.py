"""Vast's instances: a contract on an offer, and how it looks on the wire through its life."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.sandbox.answers import dollars_number
from app.sandbox.machines import Machine, Stage
from app.sandbox.vast.offers import Offer

_OCI_ERROR = "Error response from daemon: OCI runtime create failed: container_linux.go:380: starting container failed"
_States = tuple[str | None, str, str, str]
"""actual_status, cur_state, next_state, intended_status"""


@dataclass(kw_only=True, eq=False, slots=True)
class Contract(Machine):
    """A rented slice. ``bid_micros`` is the bid for the machine per hour, None when on demand."""

    offer: Offer
    disk_gb: Decimal
    image: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    onstart: str | None = None
    runtype: str = "ssh"
    bid_micros: int | None = None
    outbid: bool = False
    waits_for_gpu: bool = False
    """Asked to start while somebody else has the GPU."""
    attached: dict[str, str] = field(default_factory=dict)
    """Keys attached to this one instance, by id."""


def contract_row(contract: Contract, *, at: datetime) -> dict[str, Any]:
    """Return an instance as the wire shows it."""
    actual, current, following, intended = _states(contract, at)
    facts = contract.offer.facts
    start = contract.created_at.timestamp()
    running = contract.stage is Stage.RUNNING and contract.started_at is not None
    uptime = (at - contract.started_at).total_seconds() / 60 if running and contract.started_at else None
    return {
        **_hardware(contract),
        **_money(contract),
        **_access(contract),
        "id": int(contract.id),
        "machine_id": facts["machine_id"],
        "host_id": facts["host_id"],
        "bundle_id": facts["bundle_id"],
        "actual_status": actual,
        "cur_state": current,
        "next_state": following,
        "intended_status": intended,
        "status_msg": _message(contract),
        "label": contract.marker,
        "image_uuid": contract.image,
        "image_args": [],
        "image_runtype": contract.runtype,
        "extra_env": [[key, value] for key, value in contract.env.items()],
        "onstart": contract.onstart,
        "start_date": Decimal(str(round(start, 3))),
        "end_date": _end_date(contract, start),
        "duration": Decimal(facts["duration"]),
        "uptime_mins": None if uptime is None else Decimal(str(round(uptime, 3))),
        "template_id": None,
        "template_hash_id": None,
        "template_name": None,
        "webpage": None,
        "logo": facts["logo"],
        "external": False,
        "jupyter_token": f"{int(contract.id):064x}",
        "local_ipaddrs": "127.0.0.1",
        "machine_dir_ssh_port": None,
    }


def _end_date(contract: Contract, start: float) -> Decimal:
    """Return when the host takes the machine back: the end of what it offers, or an earlier one that it has told."""
    if contract.preempts_at is not None:
        return Decimal(str(round(contract.preempts_at.timestamp(), 3)))
    return Decimal(str(round(start, 3))) + Decimal(contract.offer.facts["duration"])


def _states(contract: Contract, at: datetime) -> _States:
    if contract.stage is Stage.BOOTING:
        return _boot_status(contract, at), "unloaded", "running", "running"
    if contract.stage is Stage.STOPPED:
        wanted = "running" if contract.waits_for_gpu else "stopped"
        return ("stopped" if contract.outbid else "exited"), "stopped", wanted, wanted
    if contract.stage is Stage.STOPPING:
        return "running", "running", "stopped", "stopped"
    if contract.stage is Stage.FAILED:
        return ("created" if contract.boot_mode else "offline"), "running", "running", "running"
    return "running", "running", "running", "running"


def _boot_status(contract: Contract, at: datetime) -> str | None:
    passed = (at - contract.booting_since).total_seconds() / (contract.boot_seconds or 1)
    if contract.started_at is not None:
        return "rebooting"
    if passed < 1 / 6:
        return None
    return "created" if passed < 1 / 3 else "loading"


def _message(contract: Contract) -> str:
    if contract.stage is Stage.FAILED and contract.boot_mode:
        return _OCI_ERROR
    if contract.stage is Stage.RUNNING:
        return f"success, running {contract.image}/{contract.runtype}"
    return ""


def _money(contract: Contract) -> dict[str, Any]:
    base, disk = contract.price_micros_per_hour, contract.disk_micros_per_hour
    return {
        "dph_base": dollars_number(base),
        "dph_total": dollars_number(base + disk),
        "min_bid": dollars_number(contract.offer.min_bid_micros),
        "is_bid": contract.spot,
        "storage_cost": dollars_number(contract.offer.storage_micros_per_gb_month),
        "storage_total_cost": dollars_number(disk),
        "inet_up_cost": contract.offer.facts["inet_up_cost"],
        "inet_down_cost": contract.offer.facts["inet_down_cost"],
        "search": {"gpuCostPerHour": dollars_number(base), "diskHour": dollars_number(disk)},
        "instance": {"gpuCostPerHour": dollars_number(base), "diskHour": dollars_number(disk)},
    }


def _access(contract: Contract) -> dict[str, Any]:
    """Return where SSH answers. ``ports`` is there only while the instance runs."""
    address, ssh_port = contract.endpoint or (None, None)
    access: dict[str, Any] = {
        "ssh_host": address,
        "ssh_port": ssh_port,
        "ssh_idx": "4",
        "public_ipaddr": address or "",
        "direct_port_start": ssh_port or -1,
        "direct_port_end": ssh_port or -1,
    }
    if ssh_port and contract.stage is Stage.RUNNING:
        access["ports"] = {
            f"{port}/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(public)}]  # noqa: S104 - the wire says so
            for port, public in {22: ssh_port, **_mapped(contract.env)}.items()
        }
    return access


def _mapped(env: dict[str, str]) -> dict[int, int]:
    """Return the ports opened by env keys such as ``-p 8000:8000``; processes here listen on them directly."""
    mapped: dict[int, int] = {}
    for key in env:
        words = key.split()
        if len(words) == 2 and words[0] == "-p":  # noqa: PLR2004 - the flag and its value
            inner = words[1].split("/")[0].rsplit(":", 1)[-1]
            if inner.isdecimal():
                mapped[int(inner)] = int(inner)
    return mapped


def _hardware(contract: Contract) -> dict[str, Any]:
    facts, running = contract.offer.facts, contract.stage is Stage.RUNNING
    same = (
        "gpu_name", "num_gpus", "gpu_ram", "gpu_frac", "gpu_arch", "gpu_mem_bw", "cpu_name", "cpu_arch", "cpu_cores",
        "cpu_cores_effective", "cpu_ram", "disk_bw", "disk_name", "inet_up", "inet_down", "driver_version",
        "cuda_max_good", "compute_cap", "total_flops", "dlperf", "score", "pcie_bw", "geolocation", "reliability2",
        "verification", "static_ip", "direct_port_count", "hosting_type", "os_version",
    )  # fmt: skip
    return {
        **{name: facts[name] for name in same},
        "disk_space": contract.disk_gb,
        "disk_util": Decimal("0.1") if running else -1,
        "disk_usage": Decimal("0.1") if running else None,
        "gpu_util": Decimal(0) if running else None,
        "gpu_temp": Decimal(35) if running else None,
        "cpu_util": Decimal("0.01") if running else Decimal(0),
        "mem_usage": Decimal("0.5") if running else None,
        "mem_limit": Decimal(facts["cpu_ram"]) / 1000,
        "vmem_usage": None,
    }
