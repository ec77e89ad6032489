"""A listing as other rooms see it, and what somebody wants of one."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum

from app.catalog.families import FAMILY_BY_SLUG, Family, families_with_vram
from app.catalog.normalising import DEFAULT_DISK_GB, ListingValues, all_in_micros_per_hour

HARD_BOUND_SECONDS = 3600
"""A provider that has not answered for so long is never quoted, nor listed as available."""


class Spot(StrEnum):
    """Which kinds of rental are wanted."""

    ONLY = "only"
    PREFER = "prefer"
    """Both; at the same price spot comes first."""
    NEVER = "never"

    @property
    def kinds(self) -> list[bool]:
        """The values of a listing's ``spot`` that are wanted."""
        return {Spot.ONLY: [True], Spot.PREFER: [True, False], Spot.NEVER: [False]}[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(ListingValues):
    """A listing with its times and what we measured of its like."""

    first_seen_at: datetime
    changed_at: datetime
    observed_at: datetime
    """When its provider last answered; for a listing that is gone, when that was noticed."""
    gone_at: datetime | None
    paused: bool
    """Whether an operator has paused its provider."""
    provider_title: str
    launch_success_ppm: int | None
    provision_seconds_p50: int | None
    interruptions_per_hour_ppm: int | None
    tries_permille: int
    """How many launches a machine of its like takes, in thousandths; 1000 as long as none has failed."""

    def all_in(self, disk_gb: int) -> int:
        """Return micro-dollars per hour for the whole listing with so much disk."""
        return all_in_micros_per_hour(self.price_micros_per_hour, self.disk_micros_per_gb_month, disk_gb)

    def expected(self, disk_gb: int) -> int:
        """Return the all-in price times the tries that a launch takes: what listings without a commitment are ranked by."""
        return -(-self.all_in(disk_gb) * self.tries_permille // 1000)

    def is_available(self, at: datetime) -> bool:
        """Return whether it may be quoted: not gone, provider not paused and heard of lately, no sheet out of date."""
        fresh = self.observed_at >= at - timedelta(seconds=HARD_BOUND_SECONDS)
        return self.gone_at is None and not self.paused and fresh and not self.is_out_of_date(at)

    def is_out_of_date(self, at: datetime) -> bool:
        """Return whether the price sheet that it comes from has reached its own age."""
        return self.priced_until is not None and self.priced_until <= at


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a listing must have. None means: no matter. A figure that a cloud does not tell fails a minimum.

    The exceptions: clouds of the tiers above ``community`` tell no reliability and pass; a cloud without a limit of
    disk takes any size.
    """

    families: tuple[str, ...] | None = None
    """Slugs. None: every family with ``min_vram_gb`` on which the usual images run."""
    min_vram_gb: int | None = None
    """Per GPU, as the vendor counts it: an H100 has 80."""
    gpu_count: int | None = 1
    regions: tuple[str, ...] | None = None
    """Region ids or country codes, in any case."""
    region_bounds: tuple[tuple[str, ...], ...] = ()
    """Each names regions or countries, of which one must be the listing's too."""
    providers: tuple[str, ...] | None = None
    spot: Spot = Spot.NEVER
    max_price_micros_per_hour: int | None = None
    """Ceiling for the whole listing, all-in with ``disk_gb``."""
    disk_gb: int = DEFAULT_DISK_GB
    min_disk_gb: int | None = None
    """A larger disk that must be possible, without being priced."""
    min_reliability_ppm: int | None = None
    min_cpu: int | None = None
    min_ram_gb: int | None = None
    min_inet_mbps: int | None = None
    cuda_min: str | None = None
    security_tier: str | None = None
    """This tier or a stronger one."""
    max_age_seconds: int = HARD_BOUND_SECONDS
    exclude_listing_ids: tuple[str, ...] = ()
    expected_seconds: int = 3600
    """A longer minimum commitment is spread over this time when listings are ranked."""

    def resolved_families(self) -> tuple[Family, ...]:
        """Return the families meant; unknown slugs mean none."""
        if self.families is None:
            return families_with_vram(self.min_vram_gb or 0)
        named = (FAMILY_BY_SLUG[slug] for slug in self.families if slug in FAMILY_BY_SLUG)
        return tuple(family for family in named if family.vram_gb >= (self.min_vram_gb or 0))

    def fresh_since(self, at: datetime) -> datetime:
        """Return the moment since which a provider must have answered; never beyond the hard bound."""
        return at - timedelta(seconds=min(self.max_age_seconds, HARD_BOUND_SECONDS))


LISTING_FIELDS = tuple(field.name for field in fields(Listing))
