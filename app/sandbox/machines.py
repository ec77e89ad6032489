"""A machine as it really is, whatever its cloud says: the truth that bills and ledgers are audited against."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from app.kit.clock import whole_seconds
from app.kit.money import cost
from app.sandbox.hosts import Host, HostBehaviour
from app.sandbox.nvidia_smi import GpuFacts


class Stage(StrEnum):
    """Where a machine is in its life."""

    BOOTING = "booting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    HIBERNATING = "hibernating"
    HIBERNATED = "hibernated"
    FAILED = "failed"
    TERMINATING = "terminating"
    TERMINATED = "terminated"
    GONE = "gone"


@dataclass(slots=True)
class Span:
    """A time during which something was charged. ``end`` is None while it still is."""

    kind: str
    """``gpu`` or ``disk``."""
    start: datetime
    micros_per_hour: int
    end: datetime | None = None

    def cost_micros(self, since: datetime, until: datetime) -> int:
        """Return what the part of it within a period costs."""
        start, end = max(self.start, since), min(self.end or until, until)
        return cost(self.micros_per_hour, whole_seconds(start, end))


@dataclass(kw_only=True, eq=False, slots=True)
class Machine:
    """One machine, from its create on; kept after its end."""

    provider: str
    id: str
    marker: str | None
    offer_id: str
    gpu: GpuFacts
    """What is really in it."""
    price_micros_per_hour: int
    created_at: datetime
    boot_seconds: float
    username: str
    address: str = "127.0.0.1"
    port: int = 0
    spot: bool = False
    disk_micros_per_hour: int = 0
    keys: list[str] = field(default_factory=list)
    behaviour: HostBehaviour = field(default_factory=HostBehaviour)
    is_as_sold: bool = True
    """False: its GPU or its SSH server is not what was sold, whatever else works."""
    boot_mode: str = ""
    """Empty for a sound boot, ``never`` or ``failed``."""
    vanishes_after_seconds: float | None = None
    hidden_until: datetime | None = None
    hidden_from_get: bool = False
    release: Callable[[], None] = lambda: None
    """Gives its capacity back to the market."""
    preempts_at: datetime | None = None
    """When its cloud takes it back, once that has been said."""

    stage: Stage = Stage.BOOTING
    booting_since: datetime = field(init=False)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    spans: list[Span] = field(default_factory=list)
    usable: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    """From when to when a customer could compute on it; the last one may be open."""
    host: Host | None = None
    endpoint: tuple[str, int] | None = None
    """Where its cloud says that SSH answers."""
    task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.booting_since = self.created_at

    @property
    def alive(self) -> bool:
        """Whether it still exists and costs."""
        return self.stage not in {Stage.TERMINATED, Stage.GONE}

    def listed(self, at: datetime) -> bool:
        """Whether the cloud's lists show it at this moment."""
        return self.stage is not Stage.GONE and (self.hidden_until is None or at >= self.hidden_until)

    def found(self, at: datetime) -> bool:
        """Whether the cloud finds it by its id at this moment."""
        return self.stage is not Stage.GONE and (not self.hidden_from_get or self.listed(at))

    def charge(self, kind: str, micros_per_hour: int, *, at: datetime) -> None:
        """Begin to charge; what was charged of this kind until now ends."""
        self.discharge(kind, at=at)
        self.spans.append(Span(kind, at, micros_per_hour))

    def discharge(self, *kinds: str, at: datetime) -> None:
        """End the charging of these kinds."""
        for span in self.spans:
            if span.end is None and span.kind in kinds:
                span.end = at

    def usable_from(self, at: datetime) -> None:
        """Note that a customer can compute on it from now on."""
        self.unusable_from(at)
        self.usable.append((at, None))

    def unusable_from(self, at: datetime) -> None:
        """Note that from now on nobody can."""
        if self.usable and self.usable[-1][1] is None:
            self.usable[-1] = (self.usable[-1][0], at)

    def cost_micros(self, kind: str, since: datetime, until: datetime) -> int:
        """Return what was charged of one kind within a period."""
        return sum(span.cost_micros(since, until) for span in self.spans if span.kind == kind)

    def seconds(self, kind: str, since: datetime, until: datetime) -> int:
        """Return for how many seconds one kind was charged within a period."""
        return sum(
            whole_seconds(max(span.start, since), min(span.end or until, until))
            for span in self.spans
            if span.kind == kind
        )


@dataclass(frozen=True, slots=True)
class Truth:
    """One row of the ledger of machines: who ran what, when, and what it cost."""

    provider: str
    id: str
    marker: str | None
    offer_id: str
    status: str
    spot: bool
    price_micros_per_hour: int
    disk_micros_per_hour: int
    created_at: datetime
    started_at: datetime | None
    """When it first ran."""
    ended_at: datetime | None
    """When it ceased to exist and to cost."""
    gpu_seconds: int
    cost_micros: int
    """GPU and disk so far."""
    gpu_name: str
    gpu_count: int
    ssh_address: str | None
    ssh_port: int | None
    usable: tuple[tuple[datetime, datetime | None], ...] = ()
    """When a customer could compute on it: from, until (None: still)."""


def truth_of(machine: Machine, *, at: datetime) -> Truth:
    """Return the machine's row as of this moment."""
    begin, (address, port) = machine.created_at, machine.endpoint or (None, None)
    return Truth(
        provider=machine.provider,
        id=machine.id,
        marker=machine.marker,
        offer_id=machine.offer_id,
        status=machine.stage.value,
        spot=machine.spot,
        price_micros_per_hour=machine.price_micros_per_hour,
        disk_micros_per_hour=machine.disk_micros_per_hour,
        created_at=begin,
        started_at=machine.started_at,
        ended_at=machine.ended_at,
        gpu_seconds=machine.seconds("gpu", begin, at),
        cost_micros=machine.cost_micros("gpu", begin, at) + machine.cost_micros("disk", begin, at),
        gpu_name=machine.gpu.name,
        gpu_count=machine.gpu.count,
        ssh_address=address,
        ssh_port=port,
        usable=tuple(machine.usable),
    )
