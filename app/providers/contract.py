"""What every cloud looks like from inside: one protocol, its values, and what each call promises.

Rules every adapter keeps:

- Calls return at once; waiting is the caller's (``NotYet``, or a machine that is still ``PROVISIONING``).
- Every call has a deadline and a bound on the answer's size. Reading calls may be retried inside the adapter;
  ``create`` is sent exactly once, whatever happens.
- A changing call raises ``Unavailable`` only where it was certainly not sent, and ``OutcomeUnknown`` wherever it may
  have been.
- ``destroy`` of an unknown machine is success.
- Only machines that carry our marker are ever listed by ``list_machines``; strangers' machines in the same cloud
  account are invisible here, so that nothing above can touch them.
- Money leaves an adapter as whole micro-dollars, memory as MiB, disk as GB (10⁹), for the whole listing or machine
  unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class MachineStatus(StrEnum):
    """A machine's life in one vocabulary."""

    PROVISIONING = "provisioning"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    HIBERNATED = "hibernated"
    DELETING = "deleting"
    GONE = "gone"
    FAILED = "failed"
    PREEMPTED = "preempted"


@dataclass(frozen=True, slots=True)
class Capability:
    """What a cloud can do, as ``GET /v1/providers`` tells it."""

    name: str
    title: str
    pricing: str
    """``api`` or ``manual``."""
    launch: str
    """``instance`` or ``deployment``."""
    shutdown: str
    """What remains after a stop: ``destroy`` or ``stop``."""
    spot: bool
    interruption: str
    """``outbid``, ``reclaim``, ``none`` or ``timeout``."""
    hibernate: bool
    stop: bool
    billing_granularity_seconds: int
    min_commitment_seconds: int
    marker_max_length: int
    realised_cost: str
    """``exact`` when the cloud reports it, ``estimate`` when we derive it."""
    machine_seconds_max: int | None = None
    """The cloud ends a machine by itself after so long; None where it may run for ever."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing a cloud offers right now, in our units but with the cloud's own GPU name.

    The catalog maps ``gpu_name`` and ``vram_mib`` to a family.
    """

    provider: str
    offer_id: str
    """What ``create`` needs to rent exactly this; opaque, unique within the provider and ``spot``."""
    gpu_name: str
    gpu_count: int
    vram_mib: int
    """Per GPU."""
    price_micros_per_hour: int
    """GPU part for the whole offer, without disk; on spot the price we would bid."""
    disk_micros_per_gb_month: int
    spot: bool
    region_id: str
    region_name: str
    country: str | None
    """ISO 3166 alpha-2, upper case, where the cloud says it."""
    cpu_cores: int | None = None
    ram_mib: int | None = None
    disk_gb_max: int | None = None
    inet_up_mbps: int | None = None
    inet_down_mbps: int | None = None
    egress_micros_per_gb: int | None = None
    stopped_micros_per_hour: int | None = None
    """While it hibernates or is stopped; None where this very offer can do neither."""
    min_commitment_seconds: int = 0
    interconnect: str | None = None
    """``sxm``, ``pcie``, ``nvl`` or None where unknown."""
    cuda_max: str | None = None
    """Such as ``12.8``."""
    reliability_ppm: int | None = None
    """0 to 1,000,000."""
    security_tier: str = "community"
    """``community``, ``datacenter`` or ``secure``."""
    static_ip: bool = False
    architecture: str = "x86_64"
    host_id: str | None = None
    """The physical host, where the cloud tells it: what a quarantine names."""
    priced_at: datetime | None = None
    """Since when the price stands, where it comes from a sheet and not from the cloud itself."""
    priced_until: datetime | None = None
    """How long such a price may be quoted."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to create. ``marker`` is our reference, written to the cloud with the machine."""

    marker: str
    offer_id: str
    region_id: str
    spot: bool
    bid_micros_per_hour: int | None
    image: str
    disk_gb: int
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    ports: tuple[int, ...] = ()
    platform_public_key: str = ""
    """The key by which we check the machine and install the customer's keys."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a machine's SSH server answers."""

    host: str
    port: int
    username: str


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of ours at a cloud."""

    machine_id: str
    marker: str | None
    status: MachineStatus
    status_message: str = ""
    connection: Connection | None = None
    """Only once the cloud knows it; a machine may be ``RUNNING`` without."""
    ports: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    """Container port → public (host, port)."""
    price_micros_per_hour: int | None = None
    """All that runs by the hour, disk included, as the cloud bills it now."""
    created_at: datetime | None = None
    preempts_at: datetime | None = None
    """When the cloud has said that it will take the machine back."""


@dataclass(frozen=True, slots=True)
class RealisedCost:
    """What a machine cost us at the cloud."""

    micros: int
    exact: bool
    """False where the cloud reports nothing and the figure is our own meter times its price."""


@dataclass(frozen=True, slots=True)
class CostLine:
    """What a cloud's books say of one machine within a period."""

    machine_id: str
    marker: str | None
    micros: int


class Provider(Protocol):
    """One cloud account."""

    capability: Capability

    async def list_offers(self) -> list[Offer]:
        """Return everything on offer now. Malformed items are left out, counted and logged; a malformed answer raises.

        Raises: Unauthorized, RateLimited, Unavailable.
        """
        ...

    async def create(self, order: Order) -> str:
        """Create one machine and return its id. Sent once.

        Raises: NoCapacity, Rejected, Unauthorized, QuotaExceeded, RateLimited, Unavailable, OutcomeUnknown.
        Any of them may carry ``machine_id`` when the cloud made a machine all the same: destroy it.
        """
        ...

    async def find_by_marker(self, marker: str) -> Machine | None:
        """Return the machine with this very marker. None is no proof of absence: lists lag behind creates.

        Raises: Unauthorized, RateLimited, Unavailable.
        """
        ...

    async def list_machines(self, marker_prefix: str) -> list[Machine]:
        """Return every machine whose marker starts so, all pages, in any state but gone.

        Raises: Unauthorized, RateLimited, Unavailable.
        """
        ...

    async def get_machine(self, machine_id: str) -> Machine:
        """Return one machine.

        Raises: Gone, Unauthorized, RateLimited, Unavailable.
        """
        ...

    async def stop(self, machine_id: str) -> None:
        """Stop the machine and keep its disk.

        Raises: Unsupported, Gone, NotYet, RateLimited, Unauthorized, Unavailable, OutcomeUnknown.
        """
        ...

    async def hibernate(self, machine_id: str) -> None:
        """Save the machine's state and free its GPU.

        Raises: Unsupported, Gone, NotYet, RateLimited, Unauthorized, Unavailable, OutcomeUnknown.
        """
        ...

    async def resume(self, machine_id: str) -> None:
        """Start a stopped machine, or restore a hibernated one.

        Raises: Unsupported, Gone, NotYet, NoCapacity, QuotaExceeded, RateLimited, Unauthorized, Unavailable,
            OutcomeUnknown.
        """
        ...

    async def destroy(self, machine_id: str) -> None:
        """Ask for the machine's end. Success also where it is unknown. The caller verifies with ``get_machine``.

        Raises: NotYet, RateLimited, Unauthorized, Unavailable, OutcomeUnknown.
        """
        ...

    async def ensure_ssh_key(self, name: str, public_key: str) -> str:
        """Make sure that the cloud account holds this public key and return the cloud's id of it. Idempotent.

        Raises: Rejected, Unauthorized, RateLimited, Unavailable, OutcomeUnknown.
        """
        ...

    async def remove_ssh_key(self, key_id: str) -> None:
        """Remove a key from the cloud account; an unknown key is success.

        Raises: Unauthorized, RateLimited, Unavailable, OutcomeUnknown.
        """
        ...

    async def realised_cost(
        self, machine_id: str, *, start: datetime, end: datetime, price_micros_per_hour: int
    ) -> RealisedCost:
        """Return what the machine cost within a period, from the cloud's books or, lacking them, by its price.

        Raises: Unauthorized, RateLimited, Unavailable.
        """
        ...

    async def list_costs(self, *, start: datetime, end: datetime) -> list[CostLine]:
        """Return what the cloud's books say of every machine within a period, strangers' machines included.

        Raises: Unsupported, Unauthorized, RateLimited, Unavailable.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
