"""RunPod's create: what is asked for, where it can be had, and the pod that follows."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.sandbox.hosts import HostBehaviour
from app.sandbox.nvidia_smi import GpuFacts
from app.sandbox.runpod.catalog import version
from app.sandbox.runpod.market import GpuType, Shelf
from app.sandbox.runpod.pods import Pod
from app.sandbox.runpod.problems import broken_rule, no_capacity, not_found
from app.sandbox.runpod.schemas import check_create

_OFFICIAL_IMAGES = "runpod/"
_ID_LENGTH = 14
_DISK_GB = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """A create request, read and found sound."""

    body: dict[str, Any]
    cloud: str
    gpu_id: str
    gpu_count: int
    data_centers: tuple[str, ...]
    """In order of preference; empty for anywhere."""
    cuda_floor: tuple[int, ...]
    cuda_versions: frozenset[str]

    def takes(self, shelf: Shelf) -> bool:
        """Whether GPUs of this place would do."""
        return (
            shelf.free >= self.gpu_count
            and version(shelf.cuda_version) >= self.cuda_floor
            and (not self.cuda_versions or shelf.cuda_version in self.cuda_versions)
            and (not self.data_centers or shelf.data_center in self.data_centers)
        )


def read_wanted(body: dict[str, Any]) -> Wanted:
    """Read a create request.

    Raises:
        Refusal: 422 for the schema, 400 for a rule between properties or for pods without GPUs, 404 for a template.
    """
    check_create(body)
    if "templateId" in body:
        raise not_found("template")
    if ("gpu" in body) == ("cpu" in body):
        raise broken_rule("exactly one of gpu or cpu must be set")
    mounts = body.get("mounts", {})
    if "persistent" in mounts and "network" in mounts:
        raise broken_rule("mounts.persistent and mounts.network are mutually exclusive")
    if mounts.get("network"):
        raise not_found("network volume")
    gpu = body.get("gpu")
    if gpu is None:
        raise no_capacity()
    allowed = gpu.get("allowedCudaVersions") or ()
    if allowed and "minCudaVersion" in gpu:
        raise broken_rule("gpu.allowedCudaVersions and gpu.minCudaVersion are mutually exclusive")
    if "count" not in gpu:
        raise no_capacity()  # the documented default of 1 is none in truth
    return Wanted(
        body=body,
        cloud=body.get("cloud", "SECURE"),
        gpu_id=gpu["id"],
        gpu_count=gpu["count"],
        data_centers=tuple(body.get("dataCenterIds") or ()),
        cuda_floor=version(gpu.get("minCudaVersion", "0")),
        cuda_versions=frozenset(allowed),
    )


def find_shelf(kind: GpuType, wanted: Wanted) -> Shelf:
    """Return the place that gets the pod: the most preferred, or the one with most free.

    Raises:
        Refusal: 400 in the words for no capacity.
    """
    shelves = [shelf for shelf in kind.shelves[wanted.cloud] if wanted.takes(shelf)]
    if not shelves or wanted.gpu_count > kind.max_count[wanted.cloud]:
        raise no_capacity()
    if wanted.data_centers:
        return min(shelves, key=lambda shelf: wanted.data_centers.index(shelf.data_center))
    return max(shelves, key=lambda shelf: shelf.free)


def new_pod(pod_id: str, kind: GpuType, shelf: Shelf, wanted: Wanted, *, account_keys: list[str], at: datetime) -> Pod:
    """Build the pod; nothing is taken yet and it does not know how long it boots."""
    body = wanted.body
    env = dict(body.get("env") or {})
    if body.get("startSsh") and account_keys:
        env.setdefault("PUBLIC_KEY", "\n".join(account_keys))
    pod = Pod(
        provider="runpod",
        id=pod_id,
        marker=body["name"],
        offer_id=f"{wanted.cloud}:{shelf.data_center}:{wanted.gpu_count}:{kind.id}",
        gpu=GpuFacts(kind.id, wanted.gpu_count, kind.vram_mib),
        price_micros_per_hour=kind.micros_per_hour[wanted.cloud] * wanted.gpu_count,
        created_at=at,
        boot_seconds=0.0,
        username="root",
        keys=env.get("PUBLIC_KEY", "").splitlines(),
        behaviour=HostBehaviour(accepts_ssh=_starts_ssh(body)),
        kind=kind,
        cloud=wanted.cloud,
        data_center=shelf.data_center,
        cuda_version=shelf.cuda_version,
        image=body["image"],
        disk_gb=body.get("disk", _DISK_GB),
        args=body.get("args", ""),
        ports=list(body.get("ports") or ()),
        env=env,
        mounts=body.get("mounts", {}),
        registry=body.get("registry"),
        global_networking=body.get("globalNetworking", False),
        gpus=wanted.gpu_count,
    )
    pod.disk_micros_per_hour = pod.storage_micros_per_hour(stopped=False)
    return pod


def take(pod: Pod, shelf: Shelf) -> None:
    """Take the GPUs from their place; the pod's end, or its stop, gives them back."""
    shelf.free -= pod.gpu.count
    pod.holds_gpus, pod.gpus, pod.release = True, pod.gpu.count, _returning(pod, shelf)


def new_pod_id(chance: random.Random) -> str:
    """Return an id as RunPod makes them."""
    return "".join(chance.choices(string.ascii_lowercase + string.digits, k=_ID_LENGTH))


def _starts_ssh(body: Mapping[str, Any]) -> bool:
    """Whether anything in the container brings up an SSH server: RunPod's own images do, others only as told."""
    told = body.get("entrypoint") or body.get("cmd") or body.get("args")
    return bool(told) or body["image"].startswith(_OFFICIAL_IMAGES)


def _returning(pod: Pod, shelf: Shelf) -> Callable[[], None]:
    def release() -> None:
        """Count the pod's GPUs as free again, once."""
        if pod.holds_gpus:
            pod.holds_gpus = False
            shelf.free += pod.gpu.count

    return release
