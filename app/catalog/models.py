"""The catalog's tables. All are global: what a cloud offers belongs to no account."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.orm import Base


class ListingRow(Base):
    """What a cloud offers or offered.

    A listing that is not gone was seen at its provider's last successful poll; that moment is its ``observed_at``.
    """

    __tablename__ = "listings"
    __table_args__ = (
        UniqueConstraint("provider", "offer_id", "spot"),
        Index(
            "ix_listings_cheapest",
            "family",
            "gpu_count",
            "spot",
            "provider",
            "price_micros_per_hour",
            postgresql_where="gone_at IS NULL",
        ),
        Index(None, "provider", "gone_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    provider: Mapped[str]
    offer_id: Mapped[str]
    spot: Mapped[bool]
    family: Mapped[str]
    model: Mapped[str]
    gpu_count: Mapped[int]
    vram_mib: Mapped[int]
    interconnect: Mapped[str | None]
    architecture: Mapped[str]
    region_id: Mapped[str]
    region_name: Mapped[str]
    country: Mapped[str | None]
    price_micros_per_hour: Mapped[int]
    disk_micros_per_gb_month: Mapped[int]
    egress_micros_per_gb: Mapped[int | None]
    stopped_micros_per_hour: Mapped[int | None]
    min_commitment_seconds: Mapped[int]
    cpu_cores: Mapped[int | None]
    ram_mib: Mapped[int | None]
    disk_gb_max: Mapped[int | None]
    inet_up_mbps: Mapped[int | None]
    inet_down_mbps: Mapped[int | None]
    cuda_max: Mapped[str | None]
    cuda_rank: Mapped[int | None]
    reliability_ppm: Mapped[int | None]
    security_tier: Mapped[str]
    static_ip: Mapped[bool]
    host_id: Mapped[str | None]
    priced_at: Mapped[datetime | None]
    priced_until: Mapped[datetime | None]
    first_seen_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    """When anything above last changed. Being seen unchanged writes nothing: see ``ProviderState.last_success_at``."""
    gone_at: Mapped[datetime | None]


class ProviderState(Base):
    """One cloud as the catalog knows it: what it can do and how its polls went."""

    __tablename__ = "provider_states"

    provider: Mapped[str] = mapped_column(primary_key=True)
    capability: Mapped[dict[str, Any]]
    paused: Mapped[bool]
    last_attempt_at: Mapped[datetime | None]
    last_success_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    consecutive_failures: Mapped[int]
    polls: Mapped[int]
    polls_failed: Mapped[int]
    listings: Mapped[int]
    left_out: Mapped[dict[str, Any]]


class RefreshRequest(Base):
    """Somebody asks the worker to refresh a provider now. Answered by the first attempt that begins later."""

    __tablename__ = "refresh_requests"

    provider: Mapped[str] = mapped_column(primary_key=True)
    requested_at: Mapped[datetime]


class ListingFailure(Base):
    """Negative cache: an offer that could not be had is not offered again for a while."""

    __tablename__ = "listing_failures"

    provider: Mapped[str] = mapped_column(primary_key=True)
    offer_id: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime]
    reason: Mapped[str]


class QuarantinedHost(Base):
    """A physical host that failed its check: nothing on it is offered until it is released or the time is over."""

    __tablename__ = "quarantined_hosts"

    provider: Mapped[str] = mapped_column(primary_key=True)
    host_id: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    quarantined_at: Mapped[datetime]
    until: Mapped[datetime | None]


class PriceHour(Base):
    """Prices per GPU hour within one hour; ``hour`` is its beginning.

    One partition per month, in the schema ``price_months``: made ahead, dropped whole when it is past the days kept.
    """

    __tablename__ = "price_history"

    family: Mapped[str] = mapped_column(primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    region_id: Mapped[str] = mapped_column(primary_key=True)
    spot: Mapped[bool] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    min_micros: Mapped[int]
    median_micros: Mapped[int]
    p90_micros: Mapped[int]
    listings: Mapped[int]


class MachineFact(Base):
    """What happened to one machine: a launch that succeeded or not, or a run that was interrupted or not."""

    __tablename__ = "machine_facts"
    __table_args__ = (Index(None, "at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    provider: Mapped[str]
    family: Mapped[str]
    spot: Mapped[bool]
    at: Mapped[datetime]
    good: Mapped[bool]
    seconds: Mapped[int]
    region_id: Mapped[str | None]
    latency_ms: Mapped[int | None]
    """How long it took to connect to the machine's SSH server, where that was measured."""


class MachineHealth(Base):
    """Machine facts of the last days, summed up per provider, family and kind of rental."""

    __tablename__ = "machine_health"

    provider: Mapped[str] = mapped_column(primary_key=True)
    family: Mapped[str] = mapped_column(primary_key=True)
    spot: Mapped[bool] = mapped_column(primary_key=True)
    launches: Mapped[int]
    launch_success_ppm: Mapped[int | None]
    provision_seconds_p50: Mapped[int | None]
    interruptions_per_hour_ppm: Mapped[int | None]
    tries_permille: Mapped[int]
    """How many launches a machine is expected to take, in thousandths: what prices are ranked by."""


class PlaceLatency(Base):
    """Machine facts of the last days, summed up per provider and region: how long it takes to connect."""

    __tablename__ = "place_latencies"

    provider: Mapped[str] = mapped_column(primary_key=True)
    region_id: Mapped[str] = mapped_column(primary_key=True)
    latency_ms_p50: Mapped[int]
    machines: Mapped[int]
